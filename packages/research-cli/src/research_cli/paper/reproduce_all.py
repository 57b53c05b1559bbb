"""`research-cli paper reproduce`: reproduce the claims of several papers in turn."""

import json as json_format
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from research_data.errors import UsageError
from research_data.shown import say

from research_cli.printing import Json, examples, print_json

if TYPE_CHECKING:
    from research_train.experiment.members import Member


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
    """Reproduce papers one after another, each on all cores; one that fails doesn't stop the rest.

    Those for which nothing is to be trained are answered first, side by side in one process.
    words: arguments for every `reproduce`. Its output goes to this process's stdout, or with
    as_json into the reports. Raises Interrupted when a signal stops it; its trainings have then
    stopped at a checkpoint.
    """
    from research_train.processes.children import Children

    ended = []
    settled = _settled(members, [*words, "--json"] if as_json else words)
    for member in members:
        if not as_json:
            say(f"--- {member.name}")
        if answer := settled.get(member.name):
            sys.stderr.write(answer["errors"])
            if not as_json:
                print(answer["output"], end="", flush=True)
            report = json_format.loads(answer["output"]) if as_json and answer["output"] else None
            ended.append(Ended(member.name, answer["code"], report))
            continue
        command = [str(Path(sys.executable).with_name("reproduce")), "--paper", member.name, *words]
        with Children() as children:
            process = children.start(
                [*command, "--json"] if as_json else command,
                stdout=subprocess.PIPE if as_json else None,
            )
            output, _ = process.communicate()
        children.raise_if_stopped()
        report = json_format.loads(output) if output else None
        ended.append(Ended(member.name, process.returncode, report))
    return ended


def _settled(members: Sequence["Member"], words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Paper -> what its `reproduce` ended with, for those for which nothing is to be trained.

    None of them where a single paper is asked for, or a smoke test, which always trains; nor where
    processes can't be forked.
    """
    from research_train.processes.children import Children

    if len(members) < 2 or "--quick" in words or sys.platform != "linux":
        return {}
    with Children() as children:
        process = children.start(
            [sys.executable, "-P", "-m", "research_train.settled", *words],
            whole_group=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        names = json_format.dumps([member.name for member in members])
        output, _ = process.communicate(names.encode())
    children.raise_if_stopped()
    if process.returncode:  # the papers' own `reproduce` says what is wrong, and ends so
        return {}
    answers = map(json_format.loads, output.splitlines())
    return {each["paper"]: each["answer"] for each in answers if each["answer"]}


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
