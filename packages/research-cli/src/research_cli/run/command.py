"""`research-cli run ...`: the recorded runs listed, shown, compared, watched, labelled, removed."""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.errors import UsageError
from research_data.shown import counted, print_line, say
from typer.core import TyperCommand

from research_cli.printing import Json, examples, new_app, output, print_json, print_table
from research_cli.run.screens import (
    brief,
    comparison_json,
    complete,
    list_table,
    print_comparison,
    show_lines,
)
from research_cli.run.watch import end_of_watch, watch_live, watch_plain

if TYPE_CHECKING:
    from research_train.record.summary import RunSummary

# Imports of a command's own are made inside it, as everywhere in this package.

RUN = "Its id, how that begins, its name, `paper/id`, or its folder."
Run = Annotated[str, typer.Argument(metavar="RUN", help=RUN)]
Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN)]

FIGURES = (".png", ".svg")


class CompareCommand(TyperCommand):
    """`--plot` takes the next word only where that is a figure's name, else it has a default."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words typed."""
        marked = [
            "--plot=" if word == "--plot" and not after.endswith(FIGURES) else word
            for word, after in pairwise([*args, ""])
        ]
        return super().parse_args(ctx, marked)


def run_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli run`. rich: help is for a terminal."""
    app = new_app(
        group,
        rich,
        "Runs: listed, shown, compared, drawn, watched, labelled, re-run, exchanged, removed.",
    )

    @app.command(
        name="list",
        epilog=examples(
            "research-cli run list --paper mnist1d --status completed",
            "research-cli run list --where 'learning_rate>1e-3' --where model=cnn",
            "research-cli run list --sort test/accuracy --limit 10",
        ),
    )
    def list_(
        paper: Annotated[str | None, typer.Option(metavar="NAME", help="Of this paper.")] = None,
        experiment: Annotated[
            str | None, typer.Option(metavar="NAME", help="Of this experiment.")
        ] = None,
        status: Annotated[
            str | None,
            typer.Option(
                metavar="STATUS", help="running, completed, failed, interrupted or unreadable."
            ),
        ] = None,
        tag: Annotated[str | None, typer.Option(metavar="TAG", help="With this tag.")] = None,
        where: Annotated[
            list[str] | None,
            typer.Option(
                metavar="CONDITION",
                help="On a config key or final metric: `lr>1e-3`, `model=cnn`; may be repeated.",
            ),
        ] = None,
        sort: Annotated[
            str | None,
            typer.Option(metavar="KEY", help="By a metric, the best first, or by a config key."),
        ] = None,
        reverse: Annotated[bool, typer.Option("--reverse", help="The other way round.")] = False,
        limit: Annotated[
            int | None, typer.Option(metavar="N", min=1, help="The first N of them.")
        ] = None,
        json: Json = False,
    ) -> None:
        """List runs, the newest first: status, age, duration, seed, final metrics."""
        from research_data import get_outputs_dir
        from research_train import runs

        conditions = where or []
        found = runs(paper, experiment, status, tag, conditions, sort, limit, reverse)
        if json:
            values = [brief(run) for run in found]
            print_json({"folder": str(get_outputs_dir()), "runs": values})
            return
        if found:
            print_table(*list_table(found, [*conditions, *([sort] if sort else [])]))
        print_line(f"{counted(len(found), 'run')} in {get_outputs_dir()}")

    @app.command(epilog=examples("research-cli run show 20261124-081530", "... show first-try"))
    def show(run: Run, json: Json = False) -> None:
        """Show all that is known of a run: config, metrics, code, data, attempts, files."""
        from research_train.record.finding import find_any_run

        value = complete(find_any_run(run))
        if json:
            print_json(value)
        else:
            for line in show_lines(value):
                print_line(line)

    @app.command(
        cls=CompareCommand,
        epilog=examples(
            "research-cli run compare 20261124-081530 20261124-0901",
            "research-cli run compare first second --plot curves.png --metric train/loss",
        ),
    )
    def compare(
        names: Runs,
        plot: Annotated[
            str | None,
            typer.Option(
                metavar="[FILE]",
                help="Draw their curves, into FILE (.png; an .svg beside it) or among the runs.",
                show_default=False,
            ),
        ] = None,
        metric: Annotated[
            str | None,
            typer.Option(
                metavar="NAME", help="What to draw; the first loss or accuracy that all have."
            ),
        ] = None,
        any_paper: Annotated[
            bool, typer.Option("--any-paper", help="Though they are of different papers.")
        ] = False,
        json: Json = False,
    ) -> None:
        """Show only what differs: config, code, versions, data, machine; and the metrics of all."""
        from research_train.history.comparison import compare_runs
        from research_train.history.curves import draw_curves
        from research_train.record.finding import find_any_run

        if metric is not None and plot is None:
            raise UsageError("--metric says what --plot draws: give both")
        comparison = compare_runs([find_any_run(name) for name in names], any_paper)
        figures = []
        if plot is not None:
            figures = draw_curves(comparison.runs, _stem(plot, metric, comparison.runs), metric)
        if json:
            print_json({**comparison_json(comparison), "figures": [str(p) for p in figures]})
            return
        print_comparison(comparison)
        for path in figures:
            print(path)

    @app.command(
        epilog=examples("research-cli run watch", "research-cli run watch first-try | tee log")
    )
    def watch(
        run: Annotated[
            str | None,
            typer.Argument(metavar="[RUN]", help="By default the newest one.", show_default=False),
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    ) -> None:
        """Follow the metrics of a run until it ends; Ctrl-C stops watching, never the run."""
        from research_train.record.finding import find_any_run, newest_run
        from research_train.record.summary import summarise

        watched = find_any_run(run) if run else newest_run()
        try:
            if sys.stdout.isatty() and not json:
                watch_live(watched)
            else:
                watch_plain(watched, json)
        except KeyboardInterrupt:
            say(f"no longer watching; {watched.id} goes on")
            raise typer.Exit(130) from None
        ended = summarise(watched.folder)
        end_of_watch(ended, json)

    @app.command(
        epilog=examples("research-cli run tag first-try good table-1", "... tag RUN good --remove")
    )
    def tag(
        run: Run,
        tags: Annotated[list[str], typer.Argument(metavar="TAG...", help="Words to find it by.")],
        remove: Annotated[bool, typer.Option("--remove", help="Take them off instead.")] = False,
        json: Json = False,
    ) -> None:
        """Tag a run; what makes it evidence stays sealed."""
        from research_train.history.changes import tag_run
        from research_train.record.finding import find_any_run

        found = find_any_run(run)
        now = tag_run(found, tags, remove)
        output({"run": found.id, "tags": now}, json, [f"{found.id}: {', '.join(now) or 'no tag'}"])

    @app.command(epilog=examples("research-cli run note first-try 'the loss jumps at step 300'"))
    def note(
        run: Run,
        text: Annotated[str, typer.Argument(help="In place of its note; '' removes it.")],
        json: Json = False,
    ) -> None:
        """Write a note on a run; what makes it evidence stays sealed."""
        from research_train.history.changes import note_run
        from research_train.record.finding import find_any_run

        found = find_any_run(run)
        note_run(found, text)
        noted = text.strip() or None
        output({"run": found.id, "note": noted}, json, [f"{found.id}: {noted or 'no note'}"])

    @app.command(epilog=examples("research-cli run remove 20261124-081530", "... remove RUN --yes"))
    def remove(
        names: Runs,
        yes: Annotated[bool, typer.Option("--yes", help="Really remove.")] = False,
        json: Json = False,
    ) -> None:
        """Say what removing runs would free; with --yes, remove them.

        The archive of their code goes with the last run of that code, unless it was used in the
        last ten minutes.
        """
        from research_data.shown import shown_size
        from research_train.history.changes import plan_removal, remove_runs
        from research_train.record.finding import find_any_run

        found = [find_any_run(name) for name in names]  # all of them, before the first goes
        gone = remove_runs(found) if yes else plan_removal(found)
        if json:
            print_json(
                {
                    "removed": yes,
                    "bytes": gone.size,
                    "runs": {str(path): size for path, size in gone.runs.items()},
                    "archives": {str(path): size for path, size in gone.archives.items()},
                    "archives_kept_because": gone.kept,
                }
            )
            return
        verb = "removed" if yes else "would remove"
        for path, size in gone.runs.items():
            print_line(f"{verb} {path}: {shown_size(size)}")
        for path, size in gone.archives.items():
            print_line(f"{verb} {path}, code that no other run has: {shown_size(size)}")
        if gone.kept:
            print_line(f"code is kept: {gone.kept}")
        if not yes:
            print_line(f"{shown_size(gone.size)} in all; nothing is removed yet: say --yes")

    return app


def _stem(plot: str, metric: str | None, runs: "Sequence[RunSummary]") -> Path:
    """Where the figures go, without the ending."""
    if plot:
        if not plot.endswith(FIGURES):
            raise UsageError(f"--plot {plot!r}: a figure's name ends in .png or .svg")
        return Path(plot).expanduser().absolute().with_suffix("")
    name = "-".join([*([metric.replace("/", "-")] if metric else []), *(run.id for run in runs)])
    return runs[0].folder.parent / "comparisons" / name[:200]
