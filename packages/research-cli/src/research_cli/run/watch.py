"""Print the metrics of running trainings as they are logged, for `research-cli run watch`."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from research_data.errors import UsageError
from research_data.shown import (
    did_you_mean,
    first_few,
    print_line,
    printable,
    say,
    shown_age,
    shown_number,
    table_lines,
)

from research_cli.printing import say_unless
from research_cli.run.screens import as_json

if TYPE_CHECKING:
    from research_train.record.summary import RunSummary

BARS = "▁▂▃▄▅▆▇█"
SPARKLINE = 40  # characters


def chosen_metrics(run: "RunSummary", names: Sequence[str]) -> list[str]:
    """The whole names of the metrics to watch; the last part of a name is enough.

    A name that no line has so far may still come while the run is running; a note says so. Raises
    UsageError where the run has ended without it.
    """
    from research_train import read_metrics
    from research_train.history.conditions import resolve_key
    from research_train.record.metrics_file import metrics_of

    logged = {name for point in read_metrics(run.folder) for name in metrics_of(point)}
    chosen = []
    for name in names:
        try:
            chosen.append(resolve_key(name, logged))
        except UsageError as error:
            if run.status != "running" or any(key.endswith(f"/{name}") for key in logged):
                raise UsageError(f"--metric {name}: {_not_logged(run, name, logged)}") from error
            say(f"no line of {run.id} has {name!r} yet: {_not_logged(run, name, logged)}")
            chosen.append(name)
    return chosen


def _not_logged(run: "RunSummary", name: str, logged: set[str]) -> str:
    has = first_few(sorted(logged), 10) or "no metrics"
    return f"{run.id} has {has}.{did_you_mean(name, logged)}"


def watch_plain(run: "RunSummary", in_json: bool, chosen: Sequence[str] = ()) -> None:
    """A line for each line of metrics.jsonl, until the run ends.

    chosen: the metrics to show, by default all; lines without any of them are left out.
    """
    from research_train.places.pending import follow_job
    from research_train.record.metrics_file import metrics_of

    say_unless(in_json, f"{run.folder} ({run.status})")
    for point in follow_job(run.folder, say):
        metrics = {k: v for k, v in metrics_of(point).items() if not chosen or k in chosen}
        if chosen and not metrics:
            continue
        if in_json:
            print(
                json.dumps({"step": point["step"], "time": point.get("time")} | metrics), flush=True
            )
        else:
            numbers = "  ".join(f"{k} {shown_number(v)}" for k, v in metrics.items())
            print(printable(f"step {point['step']}  {numbers}"), flush=True)


def watch_live(run: "RunSummary", chosen: Sequence[str] = ()) -> None:
    """A table of the chosen metrics, or of all, at a terminal, until the run ends."""
    from research_train.places.pending import follow_job
    from research_train.record.metrics_file import metrics_of
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    history: dict[str, list[float | None]] = {}
    step = 0.0
    steps = run.config.get("steps")

    def view() -> Group:
        of = f" of {steps}" if steps else ""
        age = shown_age(run.started)
        line = f"{run.paper}/{run.id}  {run.status}  started {age}  step {step:.0f}{of}"
        table = Text(_watch_table(history), no_wrap=True, overflow="ellipsis")
        return Group(Text(line, style="bold"), table)

    with Live(get_renderable=view, refresh_per_second=4) as live:
        for point in follow_job(run.folder, live.console.print):
            step = point["step"] or 0.0
            for name, value in metrics_of(point).items():
                if chosen and name not in chosen:
                    continue
                history.setdefault(name, []).append(value)


def end_of_watch(run: "RunSummary", in_json: bool) -> None:
    """How the run ended, and its final metrics."""
    error = run.record.error if run.record else None
    if in_json:
        print(json.dumps(as_json(run)))
        return
    final = ", ".join(f"{k} {shown_number(v)}" for k, v in run.metrics.items())
    print_line(f"{run.id} is {run.status}{f': {error.message}' if error else ''}")
    if final:
        print_line(final)


def _watch_table(history: "dict[str, list[float | None]]") -> str:
    rows = []
    for name, values in history.items():
        numbers = [value for value in values if value is not None] or [float("nan")]
        shown = map(shown_number, (values[-1], min(numbers), max(numbers)))
        rows.append([name, *shown, _sparkline(numbers)])
    return "\n".join(table_lines(["metric", "now", "least", "most", ""], rows))


def _sparkline(numbers: list[float]) -> str:
    """The numbers as bars, at most SPARKLINE of them, each the last one of its part."""
    count = min(len(numbers), SPARKLINE)
    chosen = [numbers[(index + 1) * len(numbers) // count - 1] for index in range(count)]
    low, span = min(chosen), max(chosen) - min(chosen)
    if not 0 < span < float("inf"):
        return BARS[0] * count
    return "".join(BARS[int((value - low) / span * (len(BARS) - 1))] for value in chosen)
