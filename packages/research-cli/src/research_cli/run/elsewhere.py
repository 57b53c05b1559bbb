"""`research-cli run push` and `run pull`: runs at an address, a bucket or a folder elsewhere."""

from typing import Annotated, Any, Literal

import typer
from research_data.errors import ResearchError, StoreError, UsageError
from research_data.shown import print_line, say, shown_size

from research_cli.completion import run_ids
from research_cli.printing import Json, examples, print_json

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

ADDRESS = "Address of fsspec without credentials, `s3://bucket/runs`, or a path."
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def with_elsewhere(app: typer.Typer) -> typer.Typer:
    """Add the commands to `research-cli run`; returns it."""
    app.command(
        epilog=examples(
            "research-cli run push first-try s3://bucket/runs",
            "research-cli run push 20261124-081530 20261124-0901 /mnt/share/runs",
        )
    )(push)
    app.command(
        epilog=examples(
            "research-cli run pull s3://bucket/runs",
            "research-cli run pull s3://bucket/runs 20261124-081530 mnist1d/20261124-0901",
        )
    )(pull)
    return app


def push(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN... ADDRESS",
            help="Runs by id, how it begins, name or `paper/id`; last the address of fsspec "
            "without credentials, `s3://bucket/runs`, or a path.",
            autocompletion=run_ids,
        ),
    ],
    checkpoints: Annotated[
        Literal["last", "all", "none"],
        typer.Option(help="Checkpoints whose weights to push."),
    ] = "last",
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Push runs to a bucket or a folder elsewhere; hash every byte on both ends.

    A push that was stopped goes on where it stopped. Credentials are read from the environment or
    the store's own config files, never from the address.
    """
    from research_data.elsewhere.address import checked_address
    from research_train import find_any_run, push_run

    *names, address = words
    if not names:
        raise UsageError("give the runs to push and then the address: `run push RUN... ADDRESS`")
    checked_address(address)  # before a run is looked for under what may be a misplaced address
    found = {name: find_any_run(name) for name in names}  # all, before the first is pushed

    def one(name: str) -> dict[str, Any]:
        pushed = push_run(found[name], address, checkpoints, quiet=quiet)
        if not json:
            print_line(pushed.address)
            how = f"{shown_size(pushed.sent)} sent" if pushed.sent else "all of it was there"
            print_line(f"{pushed.files} files, {shown_size(pushed.size)}: {how}; verified there")
        return {"run": found[name].id, **vars(pushed)}

    _each(list(found), one, json)


def pull(
    address: Annotated[str, typer.Argument(help=ADDRESS)],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Runs by id, how it begins, or `paper/id`; by default all that are there.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Pull runs that `run push` left at an address; verify every byte.

    A run is visible here only when all of it, its code and its seal are verified. A pull that was
    stopped goes on with the missing bytes. Running a run again executes its code: do that only for
    people you trust.
    """
    from research_train import pull_run, pushed_runs

    def one(place: str) -> dict[str, Any]:
        imported = pull_run(place, quiet=quiet)
        if not json:
            print_line(str(imported.run.folder))
            if imported.already_here:
                print_line(f"{imported.run.id} is already here and is the same")
        return {"run": str(imported.run.folder), "already_here": imported.already_here}

    _each(pushed_runs(address, names or ()), one, json)


def _each(names: list[str], one: Any, json: bool) -> None:
    """Do one after the other; a run that is refused doesn't stop the others, a store does."""
    results: list[dict[str, Any]] = []
    worst = 0
    for name in names:
        try:
            results.append(one(name))
        except StoreError:
            raise
        except ResearchError as error:
            if len(names) == 1:
                raise
            say(f"error: {error}")
            results.append({"name": name, "error": str(error)})
            worst = max(worst, error.exit_code)
    if json:
        print_json({"runs": results})
    if worst:
        raise typer.Exit(worst)
