"""`research-cli run ...`: the recorded runs listed, shown, compared, watched, labelled, removed."""

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any

import typer
from research_data.errors import UsageError
from typer.core import TyperCommand

from research_cli.printing import Json, examples, output, print_json, print_table, say_unless

if TYPE_CHECKING:
    from research_train.run_table import Point, RunComparison, RunSummary
    from rich.table import Table

# Imports of a command's own are made inside it, as everywhere in this package.

RUN = "Its id, how that begins, its name, `paper/id`, or its folder."
Run = Annotated[str, typer.Argument(metavar="RUN", help=RUN)]
Runs = Annotated[list[str], typer.Argument(metavar="RUN...", help=RUN)]

FIGURES = (".png", ".svg")
METRICS_SHOWN = 3  # in a row of the list
BARS = "▁▂▃▄▅▆▇█"
SPARKLINE = 40  # characters


class CompareCommand(TyperCommand):
    """`--plot` takes the next word only where that is a figure's name, else it has a default."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words typed."""
        marked = [
            "--plot=" if word == "--plot" and not after.endswith(FIGURES) else word
            for word, after in zip(args, [*args[1:], ""], strict=True)
        ]
        return super().parse_args(ctx, marked)


def run_app(group: type[Any], rich: bool) -> typer.Typer:
    """The commands `research-cli run`. rich: help is for a terminal."""
    app = typer.Typer(
        cls=group,
        help="Runs: listed, shown, compared, watched, labelled, re-run, exchanged, removed.",
        no_args_is_help=True,
        rich_markup_mode="rich" if rich else None,
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
            values = [_brief(run) for run in found]
            print_json({"folder": str(get_outputs_dir()), "runs": values})
            return
        if found:
            _print_rows(*_list_table(found, [*conditions, *([sort] if sort else [])]))
        many = "" if len(found) == 1 else "s"
        print(f"{len(found)} run{many} in {get_outputs_dir()}")

    @app.command(epilog=examples("research-cli run show 20261124-081530", "... show first-try"))
    def show(run: Run, json: Json = False) -> None:
        """Show all that is known of a run: config, metrics, code, data, attempts, files."""
        from research_train.run_table import find_any_run

        value = _complete(find_any_run(run))
        if json:
            print_json(value)
        else:
            for line in _show_lines(value):
                print(line)

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
        from research_train.run_table import compare_runs, draw_curves, find_any_run

        if metric is not None and plot is None:
            raise UsageError("--metric says what --plot draws: give both")
        comparison = compare_runs([find_any_run(name) for name in names], any_paper)
        figures = []
        if plot is not None:
            figures = draw_curves(comparison.runs, _stem(plot, metric, comparison.runs), metric)
        if json:
            print_json({**_comparison_json(comparison), "figures": [str(p) for p in figures]})
            return
        _print_comparison(comparison)
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
        from research_train.run_table import find_any_run, newest_run, summarise

        watched = find_any_run(run) if run else newest_run()
        try:
            if sys.stdout.isatty() and not json:
                _watch_live(watched)
            else:
                _watch_plain(watched, json)
        except KeyboardInterrupt:
            print(f"no longer watching; {watched.id} goes on", file=sys.stderr)
            raise typer.Exit(130) from None
        ended = summarise(watched.folder)
        _end_of_watch(ended, json)

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
        from research_train.run_table import find_any_run, tag_run

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
        from research_train.run_table import find_any_run, note_run

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

        The archive of their code goes with the last run of that code.
        """
        from research_data.progress import shown_size
        from research_train.run_table import find_any_run, plan_removal, remove_runs

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
            print(f"{verb} {path}: {shown_size(size)}")
        for path, size in gone.archives.items():
            print(f"{verb} {path}, code that no other run has: {shown_size(size)}")
        if gone.kept:
            print(f"no archive of code goes: {gone.kept}")
        if not yes:
            print(f"{shown_size(gone.size)} in all; nothing is removed yet: say --yes")

    return app


def _list_table(found: "Sequence[RunSummary]", asked: Sequence[str]) -> tuple[list[str], Any]:
    """Columns and rows; a column that is empty in every row is left out."""
    keys = dict.fromkeys(_key_of(text) for text in asked)
    many_papers = len({run.folder.parent for run in found}) > 1
    rows = []
    for run in found:
        record = run.record
        row = {
            "run": f"{run.folder.parent.name}/{run.id}" if many_papers else run.id,
            "name": (record.name if record else None) or "",
            "status": run.status,
            "when": _age(run.started),
            "took": _duration(run.seconds),
            "seed": str(record.seed) if record else "",
        }
        asked_for = {key: _number(_lookup(run, key)) for key in keys}
        metrics = {k: v for k, v in run.metrics.items() if not _is_asked(k, keys)}
        shown = ", ".join(f"{k} {_number(v)}" for k, v in list(metrics.items())[:METRICS_SHOWN])
        row |= asked_for | {
            "metrics": shown,
            "tags": ", ".join(record.tags) if record else "",
            "remarks": "; ".join([*([run.problem] if run.problem else []), *run.remarks]),
        }
        rows.append(row)
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    return columns, [[row[name] for name in columns] for row in rows]


def _print_rows(columns: list[str], rows: list[list[str]]) -> None:
    """A table; rich lays it out only where it must fold, which takes 0.3 s for 1,000 rows."""
    lines = [columns, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if sys.stdout.isatty() and sum(widths) + 2 * len(widths) > get_terminal_size().columns:
        print_table(columns, rows)
        return
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    ]
    if sys.stdout.isatty():
        shown[0] = f"\033[1m{shown[0]}\033[0m"
    print("\n".join(shown))


def _key_of(text: str) -> str:
    """The key in a condition, or the key itself."""
    for index, letter in enumerate(text):
        if letter in "<>=!":
            return text[:index].strip()
    return text


def _is_asked(metric: str, keys: Iterable[str]) -> bool:
    return any(metric == key or metric.endswith(f"/{key}") for key in keys)


def _lookup(run: "RunSummary", key: str) -> object:
    values = run.values
    ending = [name for name in values if name.endswith((f".{key}", f"/{key}"))]
    return values.get(key if key in values or not ending else ending[0])


def _brief(run: "RunSummary") -> dict[str, Any]:
    record = run.record
    return {
        "id": run.id,
        "paper": run.paper,
        "experiment": record.experiment if record else None,
        "name": record.name if record else None,
        "status": run.status,
        "started": run.started,
        "ended": record.ended if record else None,
        "seconds": run.seconds,
        "seed": record.seed if record else None,
        "tags": record.tags if record else [],
        "note": record.note if record else None,
        "metrics": run.metrics,
        "folder": str(run.folder),
        "problem": run.problem,
        "remarks": list(run.remarks),
    }


def _complete(run: "RunSummary") -> dict[str, Any]:
    """Everything about a run, for --json and for people."""
    from research_data.catalog import disk_size
    from research_train.errors import ConfigError
    from research_train.record import checkpoint_folders, record_as_json
    from research_train.run_files import CHECKPOINTS
    from research_train.run_table import read_flat_config, read_metrics, seal_state

    try:
        config, wrong = read_flat_config(run.folder), None
    except ConfigError as error:
        config, wrong = {}, str(error)
    sizes = {
        path.name + ("/" if path.is_dir() else ""): (
            disk_size(path) if path.is_dir() else path.lstat().st_size
        )
        for path in sorted(run.folder.iterdir())
        if path.name != CHECKPOINTS and not path.name.startswith(".")
    }
    return {
        **_brief(run),
        "seal": seal_state(run),
        "config": config,
        "config_problem": wrong,
        "last_line": (read_metrics(run.folder) or [{}])[-1],
        "record": record_as_json(run.record) if run.record else None,
        "checkpoints": {path.name: disk_size(path) for path in checkpoint_folders(run.folder)},
        "files": sizes,
        "bytes": disk_size(run.folder),
    }


def _show_lines(value: dict[str, Any]) -> Iterable[str]:
    from research_data.progress import shown_size

    record = value["record"] or {}
    git = record.get("git") or {}
    commit = (
        f"{git['commit'] or 'none'}{', with changes' if git.get('dirty') else ''}" if git else ""
    )
    error = record.get("error") or {}
    rows = {
        "run": value["id"],
        "problem": value["problem"],
        "remarks": "; ".join(value["remarks"]),
        "paper": value["paper"],
        "experiment": value["experiment"],
        "name": value["name"],
        "status": value["status"],
        "error": f"{error['type']}: {error['message']}" if error else "",
        "started": f"{value['started']} ({_age(value['started'])})",
        "ended": value["ended"],
        "took": _duration(value["seconds"]),
        "seed": "" if value["seed"] is None else str(value["seed"]),
        "tags": ", ".join(value["tags"]),
        "note": value["note"],
        "parent": record.get("parent"),
        "group": record.get("group"),
        "seal": {
            "none": "none: only a completed run has one",
            "fits": "fits: record, config, metrics and weights are as they were",
            "broken": "BROKEN: record, config, metrics or weights were changed after its end",
        }[value["seal"]],
        "command": " ".join(record.get("command", [])),
        "git": commit,
        "source": record.get("source"),
        "fingerprint": record.get("fingerprint"),
        "folder": value["folder"],
        "size": shown_size(value["bytes"]),
    }
    yield from (f"{key:<12} {text}" for key, text in rows.items() if text)
    if value["config_problem"]:
        yield f"{'config':<12} {value['config_problem']}"
    for title, pairs in (
        ("metrics", {k: _number(v) for k, v in value["metrics"].items()}),
        ("last line of metrics.jsonl", {k: _number(v) for k, v in value["last_line"].items()}),
        ("config", {k: _number(v) for k, v in value["config"].items()}),
        ("packages", record.get("packages", {})),
        ("assets", record.get("assets", {})),
        ("environment", record.get("environment", {})),
        ("checkpoints", {k: shown_size(v) for k, v in value["checkpoints"].items()}),
        ("files", {k: shown_size(v) for k, v in value["files"].items()}),
    ):
        if pairs:
            width = max(map(len, pairs))
            yield ""
            yield title
            yield from (f"  {k:<{width}}  {'-' if v is None else v}" for k, v in pairs.items())
    if attempts := record.get("attempts", []):
        yield ""
        yield "attempts"
        for each in attempts:
            end = each["end"] or "without a word"
            yield f"  {each['time']} - {end}  {each['status']}  on {each['host']}"


def _stem(plot: str, metric: str | None, runs: "Sequence[RunSummary]") -> Path:
    """Where the figures go, without the ending."""
    if plot:
        if not plot.endswith(FIGURES):
            raise UsageError(f"--plot {plot!r}: a figure's name ends in .png or .svg")
        return Path(plot).expanduser().absolute().with_suffix("")
    name = "-".join([*([metric.replace("/", "-")] if metric else []), *(run.id for run in runs)])
    return runs[0].folder.parent / "comparisons" / name[:200]


def _comparison_json(comparison: "RunComparison") -> dict[str, Any]:
    return {
        "runs": [_brief(run) for run in comparison.runs],
        "same_experiment": comparison.same_experiment,
        "differences": comparison.differences,
        "changed_files": comparison.changed_files,
        "missing_archives": comparison.missing_archives,
        "metrics": comparison.metrics,
    }


def _print_comparison(comparison: "RunComparison") -> None:
    from research_train.run_table import labels

    runs = comparison.runs
    heads = labels(runs)
    two = len(runs) == 2
    ids = [run.id for run in runs]
    rows = [
        *([["run", "", *ids]] if heads != ids else []),
        ["status", "", *(run.status for run in runs)],
        ["took", "", *(_duration(run.seconds) for run in runs)],
    ]
    for section, keys in comparison.differences.items():
        for index, (key, values) in enumerate(keys.items()):
            rows.append([section if index == 0 else "", key, *(_cell(value) for value in values)])
    for index, (name, numbers) in enumerate(comparison.metrics.items()):
        cells = [_number(number) for number in numbers]
        if two and None not in numbers:
            cells.append(f"{numbers[1] - numbers[0]:+.4g}")  # type: ignore[operator]
        rows.append(["metrics" if index == 0 else "", name, *cells])
    columns = ["", "", *heads, *(["difference"] if two else [])]
    _print_rows(columns, [row + [""] * (len(columns) - len(row)) for row in rows])
    if comparison.same_experiment:
        print("one experiment: the fingerprints are equal")
    if files := comparison.changed_files:
        more = f" and {len(files) - 10} more" if len(files) > 10 else ""
        print(f"files of the code that differ: {', '.join(files[:10])}{more}")
    for run in comparison.missing_archives:
        print(f"the archive of the code of {run} isn't here: its files can't be compared")


def _watch_plain(run: "RunSummary", as_json: bool) -> None:
    from research_train.run_table import follow_run

    say_unless(as_json, f"{run.folder} ({run.status})")
    for point in follow_run(run.folder):
        if as_json:
            print(json.dumps(point), flush=True)
        else:
            numbers = "  ".join(f"{k} {_number(v)}" for k, v in _shown_metrics(point))
            print(f"step {point['step']}  {numbers}", flush=True)


def _watch_live(run: "RunSummary") -> None:
    from research_train.run_table import follow_run
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    history: dict[str, list[float | None]] = {}
    step = 0.0
    steps = run.config.get("steps")

    def view() -> Group:
        of = f" of {steps}" if steps else ""
        line = (
            f"{run.paper}/{run.id}  {run.status}  started {_age(run.started)}  step {step:.0f}{of}"
        )
        return Group(Text(line, style="bold"), _watch_table(history))

    with Live(get_renderable=view, refresh_per_second=4):
        for point in follow_run(run.folder):
            step = point["step"] or 0.0
            for name, value in _shown_metrics(point):
                history.setdefault(name, []).append(value)


def _watch_table(history: "dict[str, list[float | None]]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("metric", "now", "least", "most", ""):
        table.add_column(column)
    for name, values in history.items():
        numbers = [value for value in values if value is not None] or [float("nan")]
        row = (name, _number(values[-1]), _number(min(numbers)), _number(max(numbers)))
        table.add_row(*(Text(cell) for cell in (*row, _sparkline(numbers))))
    return table


def _sparkline(numbers: list[float]) -> str:
    """The numbers as bars, at most SPARKLINE of them, each the last one of its part."""
    count = min(len(numbers), SPARKLINE)
    chosen = [numbers[(index + 1) * len(numbers) // count - 1] for index in range(count)]
    low, span = min(chosen), max(chosen) - min(chosen)
    if not span > 0:
        return BARS[0] * count
    return "".join(BARS[int((value - low) / span * (len(BARS) - 1))] for value in chosen)


def _end_of_watch(run: "RunSummary", as_json: bool) -> None:
    error = run.record.error if run.record else None
    if as_json:
        print(json.dumps(_brief(run)))
        return
    final = ", ".join(f"{k} {_number(v)}" for k, v in run.metrics.items())
    print(f"{run.id} is {run.status}{f': {error.message}' if error else ''}")
    if final:
        print(final)


def _shown_metrics(point: "Point") -> list[tuple[str, float | None]]:
    return [(name, value) for name, value in point.items() if name not in ("step", "time")]


def _cell(value: object) -> str:
    text = _number(value)
    whole = len(text) in (40, 64) and set(text) <= set("0123456789abcdef")
    return text[:12] if whole else text  # a hash


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)


def _age(moment: str) -> str:
    with suppress(ValueError):
        seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
        for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
            if seconds >= length:
                return f"{seconds // length:.0f} {unit} ago"
        return "just now"
    return moment


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
