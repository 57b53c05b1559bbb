"""`research-cli run ...`: list, show, compare, watch, tag, annotate and remove recorded runs."""

import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.errors import UsageError
from research_data.shown import say
from typer.core import TyperCommand

from research_cli.completion import run_ids
from research_cli.printing import (
    Json,
    examples,
    new_app,
    output,
    print_json,
)
from research_cli.run.listing import list_runs
from research_cli.run.screens import (
    as_json,
    complete,
    print_comparison,
    removal_lines,
    show_lines,
)
from research_cli.run.watch import chosen_metrics, end_of_watch, watch_live, watch_plain

if TYPE_CHECKING:
    from research_train.record.summary import RunSummary

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

RUN = "Run id, how it begins, the run's name, `paper/id`, or the run's folder."
Run = Annotated[str, typer.Argument(metavar="RUN", help=RUN, autocompletion=run_ids)]
Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN, autocompletion=run_ids)]

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
            "research-cli run list --sort test/rouge --max --columns model,optimizer.lr",
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
        epilog=examples(
            "research-cli run watch",
            "research-cli run watch first-try | tee log",
            "research-cli run watch --metric train/loss --metric test/accuracy",
        )
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
            metavar="[RUN]",
            help="Run to watch, or `slurm-12` for that of job 12, once it has begun; by default "
            "the newest one.",
            show_default=False,
            autocompletion=run_ids,
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Show only this metric. May be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Follow the metrics of a run until it ends.

    Where its job of a cluster waits in the queue, at first or again, that is said and waited for.
    Ctrl-C stops watching, not the run.
    """
    from research_train import find_any_run
    from research_train.places.pending import run_of_job
    from research_train.record.finding import newest_run
    from research_train.record.summary import summarise

    if run and re.fullmatch(r"slurm-\d+(_\d+)?", run):
        try:
            watched = run_of_job(run, say)
        except KeyboardInterrupt:
            say(f"stopped watching; {run} stays queued")
            raise typer.Exit(130) from None
    else:
        watched = find_any_run(run) if run else newest_run()
    chosen = chosen_metrics(watched, metric or [])
    try:
        if sys.stdout.isatty() and not json:
            watch_live(watched, chosen)
        else:
            watch_plain(watched, json, chosen)
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
