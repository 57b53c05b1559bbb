"""`research-cli run list`: the recorded runs, what they differ in, the best first."""

import gc
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from research_data.errors import UsageError
from research_data.shown import counted, first_few, print_line

from research_cli.completion import member_names, run_keys
from research_cli.printing import Json, print_json_rows, print_rows
from research_cli.run.screens import as_json, chosen_columns, list_rows

if TYPE_CHECKING:
    from research_train.places.pending import PendingJob


def list_runs(
    paper: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Show only runs of this paper.", autocompletion=member_names
        ),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only runs of this experiment.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS",
            help="Show only runs with this status: running, completed, failed, interrupted or "
            "unreadable; or jobs of a cluster that are queued, requeued, starting, unknown, or "
            "ended without a run.",
        ),
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Show only runs with this tag.")
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(metavar="GROUP", help="Show only runs of this group, such as a sweep's."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            autocompletion=run_keys,
            help="Show only runs whose config key or final metric meets this condition: "
            "`lr>1e-3`, `model=cnn`. May be repeated.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            autocompletion=run_keys,
            help="Sort by a metric, best first (its paper's claims or its name say which end that "
            "is), or by a config key.",
        ),
    ] = None,
    smallest: Annotated[
        bool, typer.Option("--min", help="The smallest of --sort is the best.")
    ] = False,
    largest: Annotated[
        bool, typer.Option("--max", help="The largest of --sort is the best.")
    ] = False,
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the order.")] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Show only the first N runs.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY[,KEY]",
            autocompletion=run_keys,
            help="Config keys and metrics to show as columns (`none`: none); by default the "
            "config keys that differ between the runs.",
        ),
    ] = None,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Show every metric, each in a column.")
    ] = False,
    json: Json = False,
) -> None:
    """List runs, newest first, with what differs in their configs, and their metrics."""
    from research_data import get_outputs_dir
    from research_train import varying_keys
    from research_train.history.table import Asked, known_table
    from research_train.places.pending import STATES

    gc.disable()  # until the process ends: with ten thousand runs it takes a third of the time
    if smallest and largest:
        raise UsageError("--min and --max are opposites: give one of them")
    best: Literal["min", "max"] | None = "min" if smallest else "max" if largest else None
    conditions = tuple(where or ())
    ended = None if status in STATES else status
    table = known_table(
        Asked(paper, experiment, ended, tag, conditions, sort, limit, reverse, best, group)
    )
    by_values = conditions or sort or group  # a job that waits has none
    jobs = [] if by_values or ended else _jobs(paper, experiment, status, tag)
    waiting = {job.run: job for job in jobs if job.run}
    if status in STATES:
        table = replace(table, runs=[run for run in table.runs if run.id in waiting])
        table = replace(table, matching=len(table.runs))
    found = table.runs
    if json:
        head = {
            "folder": str(get_outputs_dir()),
            "matching": table.matching,
            "sorted": vars(table.order) if table.order else None,
            "differing": varying_keys(found),
            "jobs": [vars(job) for job in jobs],
        }
        print_json_rows(head, "runs", [{**as_json(run), "config": run.config} for run in found])
        return
    more: list[str] = []
    if found or jobs:
        asked = [*conditions, *([sort] if sort else [])]
        shown, more = chosen_columns(found, asked, _words(columns))
        if rows := list_rows(found, shown, metrics, jobs):
            print_rows(rows)
    of = f" of {table.matching:,}" if table.matching > len(found) else ""
    print_line(f"{len(found):,}{of} {'run' if len(found) == 1 else 'runs'} in {get_outputs_dir()}")
    if without := sum(job.run is None and job.status != "ended" for job in jobs):
        print_line(f"{counted(without, 'job')} without a run so far")
    if table.order:
        print_line(str(table.order))
    if more:
        print_line(f"also differ: {first_few(more, 10)}; --columns shows them")


def _jobs(
    paper: str | None, experiment: str | None, status: str | None, tag: str | None
) -> "list[PendingJob]":
    """The jobs that wait and meet these conditions, as `known_table` has them."""
    from research_train.places.pending import PREFIX, pending_jobs

    return [
        job
        for job in pending_jobs(paper)
        if status in (None, job.status)
        and tag in (None, f"{PREFIX}{job.job}")
        and (experiment is None or job.words[:1] in ((experiment,), (f"{job.paper}.{experiment}",)))
    ]


def _words(columns: Sequence[str] | None) -> list[str] | None:
    """The keys of --columns, which may be repeated or separated by commas."""
    if columns is None or columns == ["none"]:
        return columns and []
    return [word.strip() for each in columns for word in each.split(",") if word.strip()]
