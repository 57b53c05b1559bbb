"""`research-cli run ...`: list, show, compare, watch, tag, annotate and remove recorded runs."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.errors import UsageError
from research_data.shown import counted, print_line, say
from typer.core import TyperCommand

from research_cli.printing import Json, examples, new_app, output, print_json, print_rows
from research_cli.run.screens import (
    as_json,
    complete,
    list_rows,
    print_comparison,
    removal_lines,
    show_lines,
)
from research_cli.run.watch import end_of_watch, watch_live, watch_plain

if TYPE_CHECKING:
    from research_train.record.summary import RunSummary

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

RUN = "Run id, how it begins, the run's name, `paper/id`, or the run's folder."
Run = Annotated[str, typer.Argument(metavar="RUN", help=RUN)]
Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN)]

FIGURES = (".png", ".svg")


class CompareCommand(TyperCommand):
    """`--plot` takes the next word as its value only if that is the name of a figure file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words typed."""
        marked = [
            "--plot=" if word == "--plot" and not after.endswith(FIGURES) else word
            for word, after in pairwise([*args, ""])
        ]
        return super().parse_args(ctx, marked)


def run_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli run`. rich: help is for a terminal."""
    app = new_app(group, rich, "List, compare, draw, watch, repeat, exchange and remove runs.")
    app.command(
        name="list",
        epilog=examples(
            "research-cli run list --paper mnist1d --status completed",
            "research-cli run list --where 'learning_rate>1e-3' --where model=cnn",
            "research-cli run list --sort test/accuracy --limit 10",
        ),
    )(list_runs)
    app.command(epilog=examples("research-cli run show 20261124-081530", "... show first-try"))(
        show
    )
    app.command(
        cls=CompareCommand,
        epilog=examples(
            "research-cli run compare 20261124-081530 20261124-0901",
            "research-cli run compare first second --plot curves.png --metric train/loss",
        ),
    )(compare)
    app.command(
        epilog=examples("research-cli run watch", "research-cli run watch first-try | tee log")
    )(watch)
    app.command(
        epilog=examples("research-cli run tag first-try good table-1", "... tag RUN good --remove")
    )(tag)
    app.command(epilog=examples("research-cli run note first-try 'the loss jumps at step 300'"))(
        note
    )
    app.command(epilog=examples("research-cli run remove 20261124-081530", "... remove RUN --yes"))(
        remove
    )
    return app


def list_runs(
    paper: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only runs of this paper.")
    ] = None,
    experiment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only runs of this experiment.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS",
            help="Show only runs with this status: running, completed, failed, interrupted or "
            "unreadable.",
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
            help="Show only runs whose config key or final metric meets this condition: "
            "`lr>1e-3`, `model=cnn`. May be repeated.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Sort by a metric (best first) or by a config key."),
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Reverse the order.")] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Show only the first N runs.")
    ] = None,
    json: Json = False,
) -> None:
    """List runs, newest first, with status, age, duration, metrics."""
    from research_data import get_outputs_dir
    from research_train import runs

    conditions = where or []
    found = runs(paper, experiment, status, tag, conditions, sort, limit, reverse, group)
    if json:
        print_json({"folder": str(get_outputs_dir()), "runs": [as_json(run) for run in found]})
        return
    if found:
        print_rows(list_rows(found, [*conditions, *([sort] if sort else [])]))
    print_line(f"{counted(len(found), 'run')} in {get_outputs_dir()}")


def show(run: Run, json: Json = False) -> None:
    """Show a run: config, metrics, code, data, attempts, files."""
    from research_train import find_any_run

    value = complete(find_any_run(run))
    output(value, json, show_lines(value))


def compare(
    names: Runs,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE]",
            help="Draw learning curves into FILE (.png, with an .svg beside it); by default among "
            "the paper's outputs.",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric to draw; by default the first loss or accuracy that all runs have.",
        ),
    ] = None,
    any_paper: Annotated[
        bool, typer.Option("--any-paper", help="Compare runs of different papers.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what differs between runs, and their final metrics.

    Compares config, code, versions of packages, data and machine.
    """
    from research_train import compare_runs, draw_curves, find_any_run

    if metric is not None and plot is None:
        raise UsageError("--metric chooses what --plot draws: give both")
    comparison = compare_runs([find_any_run(name) for name in names], any_paper)
    figures = []
    if plot is not None:
        figures = draw_curves(comparison.runs, _stem(plot, metric, comparison.runs), metric)
    if json:
        runs = [as_json(run) for run in comparison.runs]
        print_json({**vars(comparison), "runs": runs, "figures": [str(path) for path in figures]})
        return
    print_comparison(comparison)
    for path in figures:
        print(path)


def watch(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Run to watch; by default the newest one.", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Follow the metrics of a run until it ends.

    Ctrl-C stops watching, not the run.
    """
    from research_train import find_any_run
    from research_train.record.finding import newest_run
    from research_train.record.summary import summarise

    watched = find_any_run(run) if run else newest_run()
    try:
        if sys.stdout.isatty() and not json:
            watch_live(watched)
        else:
            watch_plain(watched, json)
    except KeyboardInterrupt:
        say(f"stopped watching; {watched.id} continues")
        raise typer.Exit(130) from None
    end_of_watch(summarise(watched.folder), json)


def tag(
    run: Run,
    tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="Tags to add.")],
    remove: Annotated[bool, typer.Option("--remove", help="Remove these tags instead.")] = False,
    json: Json = False,
) -> None:
    """Add tags to a run, or remove them; the seal doesn't cover tags."""
    from research_train import find_any_run, tag_run

    found = find_any_run(run)
    now = tag_run(found, tags, remove)
    output({"run": found.id, "tags": now}, json, [f"{found.id}: {', '.join(now) or 'no tags'}"])


def note(
    run: Run,
    text: Annotated[str, typer.Argument(help="New note; '' removes the present one.")],
    json: Json = False,
) -> None:
    """Write a note on a run; the seal doesn't cover notes."""
    from research_train import find_any_run, note_run

    found = find_any_run(run)
    note_run(found, text)
    noted = text.strip() or None
    output({"run": found.id, "note": noted}, json, [f"{found.id}: {noted or 'no note'}"])


def remove(
    names: Runs,
    yes: Annotated[bool, typer.Option("--yes", help="Remove the runs.")] = False,
    json: Json = False,
) -> None:
    """Show what removing runs would free; remove them with --yes.

    The archive of their code is removed with the last run of that code, unless it was used in the
    last ten minutes.
    """
    from research_train import find_any_run, remove_runs
    from research_train.history.changes import plan_removal

    found = [find_any_run(name) for name in names]  # find every run before the first is removed
    gone = remove_runs(found) if yes else plan_removal(found)
    value = {
        "removed": yes,
        "bytes": gone.size,
        "runs": {str(path): size for path, size in gone.runs.items()},
        "archives": {str(path): size for path, size in gone.archives.items()},
        "archives_kept_because": gone.kept,
    }
    output(value, json, removal_lines(gone, yes))


def _stem(plot: str, metric: str | None, runs: "Sequence[RunSummary]") -> Path:
    """Where the figures are written, without the suffix."""
    if plot:
        if not plot.endswith(FIGURES):
            raise UsageError(f"--plot {plot!r}: the name of a figure must end in .png or .svg")
        return Path(plot).expanduser().absolute().with_suffix("")
    name = "-".join([*([metric.replace("/", "-")] if metric else []), *(run.id for run in runs)])
    return runs[0].folder.parent / "comparisons" / name[:200]
