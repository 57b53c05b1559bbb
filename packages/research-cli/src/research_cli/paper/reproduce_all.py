"""`research-cli paper reproduce`: reproduce the claims of several papers in turn."""

import json as json_format
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from research_data.errors import UsageError
from research_data.shown import say

from research_cli.printing import Json, examples, print_json

if TYPE_CHECKING:
    from research_train.experiment.members import Member
    from research_train.processes.children import Children


def with_reproduce(app: typer.Typer) -> typer.Typer:
    """The commands of `research-cli paper`, with `reproduce` among them."""

    @app.command(
        epilog=examples(
            "research-cli paper reproduce --all",
            "research-cli paper reproduce mnist1d amsgrad --jobs 1",
            "research-cli paper reproduce --all --quick    # does everything still run?",
        )
    )
    def reproduce(
        names: Annotated[
            list[str] | None, typer.Argument(metavar="NAME", help="Papers to reproduce: `mnist1d`.")
        ] = None,
        all: Annotated[
            bool,
            typer.Option("--all", help="Reproduce every paper of the workspace that makes claims."),
        ] = False,
        jobs: Annotated[
            int | None,
            typer.Option(
                help="Number of trainings to run at once; by default one a core, or a GPU where "
                "they use one, and on a cluster as many as it has room for."
            ),
        ] = None,
        on: Annotated[
            Literal["local", "slurm"],
            typer.Option(
                help="Where to train: `local`, on this machine; `slurm`, as jobs of a cluster."
            ),
        ] = "local",
        quick: Annotated[
            bool,
            typer.Option("--quick", help="Train a few steps only, as a smoke test; judge nothing."),
        ] = False,
        here: Annotated[
            bool,
            typer.Option("--here", help="Leave out claims whose data can't be fetched."),
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show which runs are missing; train nothing.")
        ] = False,
        json: Json = False,
    ) -> None:
        """Train the runs that papers' claims lack, and judge the claims.

        Runs `reproduce` for one paper after another; exits with 1 when any of them does.
        """
        members = _members(names or [], all)
        words = [] if jobs is None else ["--jobs", str(jobs)]
        words += [] if on == "local" else ["--on", on]
        words += ["--quick"] if quick else []
        words += ["--here"] if here else []
        words += ["--dry-run"] if dry_run else []
        ended = reproduce_papers(members, words, json)
        if json:
            print_json(
                {each.paper: {"exit_code": each.code, "report": each.report} for each in ended}
            )
        elif len(ended) > 1:
            bad = [each.paper for each in ended if each.code]
            say(f"--- {len(ended)} papers" + (f"; failed: {', '.join(bad)}" if bad else ""))
        if any(each.code for each in ended):
            raise typer.Exit(1)

    return app


@dataclass(frozen=True)
class Ended:
    """How the `reproduce` of a paper ended. report: the JSON that it printed; None without."""

    paper: str
    code: int
    report: dict[str, Any] | None = None


def reproduce_papers(
    members: Sequence["Member"], words: Sequence[str], as_json: bool
) -> list[Ended]:
    """Reproduce papers one after another; one that fails doesn't stop the rest.

    Each trains on all cores. Those for which nothing is to be trained are answered side by side in
    one process, for seconds beside the first training. words: arguments for every `reproduce`. Its
    output goes to this process's stdout, or with as_json into the reports. Raises Interrupted when
    a signal stops it; its trainings have then stopped at a checkpoint. Raises CommandError if the
    README's table could not be renewed.
    """
    from research_train.processes.children import Children

    ended = []
    words = [*words, "--json"] if as_json else words
    with Children() as children:
        for member, answer in _answers(children, members, words):
            children.raise_if_stopped()
            if not as_json:
                say(f"--- {member.name}")
            if answer:
                code, output = answer["code"], answer["output"]
                sys.stderr.write(answer["errors"])
                if not as_json:
                    print(output, end="", flush=True)
            else:
                process = children.start(
                    [_beside_python("reproduce"), "--paper", member.name, *words],
                    stdout=subprocess.PIPE if as_json else None,
                )
                output, _ = process.communicate()
                code = process.returncode
                children.raise_if_stopped()
            report = json_format.loads(output) if as_json and output else None
            ended.append(Ended(member.name, code, report))
    return ended


def _beside_python(command: str) -> str:
    return str(Path(sys.executable).with_name(command))


def _answers(
    children: "Children", members: Sequence["Member"], words: Sequence[str]
) -> Iterator[tuple["Member", dict[str, Any] | None]]:
    """Each paper, in their order, with what its `reproduce` ends with if nothing is to be trained.

    None for all where a single paper is asked for, or a smoke test, which always trains, and where
    processes can't be forked. A paper is given as soon as it and those before it are answered.
    Raises CommandError if all were answered and the process still failed.
    """
    from research_train.errors import CommandError

    if len(members) < 2 or "--quick" in words or sys.platform != "linux":
        yield from ((member, None) for member in members)
        return
    process = children.start(
        [sys.executable, "-P", "-m", "research_train.settled", *words],
        whole_group=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    lines: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read_lines, args=(process, members, lines), daemon=True).start()
    answers: dict[str, dict[str, Any] | None] = {}
    is_over = False
    for member in members:
        if member.name not in answers and _requires_releases(member):
            answers[member.name] = None  # what will be said of it, so it can begin now
        while member.name not in answers and not is_over:
            if line := lines.get():
                # It may have died within a line.
                with suppress(ValueError, TypeError, KeyError):
                    told = json_format.loads(line)
                    answers[told["paper"]] = told["answer"]
            else:  # what wasn't answered is said by the paper's own `reproduce`
                is_over = True
        yield member, answers.get(member.name)
    # After its last answer it renews the README's table.
    if process.wait() and len(answers) == len(members) and children.signal is None:
        raise CommandError("the README's table of all claims may be old: see the message above")


def _requires_releases(member: "Member") -> bool:
    """Whether a paper's `reproduce` runs under releases of our packages, so only for itself."""
    from research_train.errors import RequirementError
    from research_train.versions.hand_over import has_releases

    try:
        return has_releases(member)
    except RequirementError:  # its own `reproduce` says so
        return True


def _read_lines(
    process: "subprocess.Popen[bytes]", members: Sequence["Member"], lines: SimpleQueue[bytes]
) -> None:
    """Ask about the papers, and read all answers while they come, so that none has to wait."""
    assert process.stdin and process.stdout
    with suppress(BrokenPipeError), process.stdin as asked:
        asked.write(json_format.dumps([member.name for member in members]).encode())
    for line in process.stdout:
        lines.put(line)
    lines.put(b"")


def _members(names: Sequence[str], every: bool) -> list["Member"]:
    """The members with these names, or every one that makes claims. Raises UsageError."""
    from research_train.claims.claim import CLAIMS
    from research_train.experiment.members import find_member, installed_members
    from research_train.experiment.workspace_members import workspace_here

    if bool(names) == every:
        raise UsageError("name the papers to reproduce, or give --all")
    members = installed_members()
    if names:
        return [find_member(name, members) for name in dict.fromkeys(names)]
    workspace = workspace_here()
    of_this = [each for each in members if each.workspace == workspace]
    return [each for each in of_this if (each.folder / CLAIMS).is_file()]
