"""Print a sweep: what is planned, how far it is, and its settings, best first."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from research_data.progress import ProgressLine
from research_data.shown import (
    counted,
    say,
    shown_duration,
    shown_metric,
    shown_number,
    table_lines,
)

if TYPE_CHECKING:
    from research_train import SettingOutcome, Sweep, SweepOutcome

MOST_ROWS = 30  # of the table; --json has all
MANY = 8  # seeds, from which on they are not listed one by one


class Progress:
    """A line for every run that ends; at a terminal, one more below them that is updated."""

    def __init__(self, quiet: bool):
        self._line = ProgressLine(quiet)
        self._quiet = quiet

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.clear()

    def say(self, line: str) -> None:
        """Show a line that stays."""
        if not self._quiet:
            self._line.clear()
            say(line)

    def show(self, line: str) -> None:
        """Show how far all is."""
        if self._line.due():
            self._line.show(line)


def plan_line(sweep: "Sweep", trials: int | None) -> str:
    """What is about to be trained, in a sentence."""
    seeds = counted(len(sweep.seeds), "seed")
    if sweep.sampler == "grid":
        number = len(list(sweep.space.settings()))
        size = f"a grid of {counted(number, 'setting')} x {seeds}"
    else:
        size = f"{sweep.sampler}, {counted(trials or 20, 'setting')} x {seeds}"
    best = "largest" if sweep.is_max else "smallest"
    return f"sweep {sweep.name} of {sweep.experiment}: {size}, for the {best} {sweep.metric}"


def outcome_lines(outcome: "SweepOutcome", others: "Sequence[SweepOutcome]" = ()) -> Iterator[str]:
    """A sweep's settings as a table, the best one, and the best of n trials."""
    sweep = outcome.sweep
    if not outcome.settings:
        yield f"sweep {sweep.name}: no trial has begun"
        return
    rows = [_row(outcome, each) for each in outcome.settings[:MOST_ROWS]]
    yield from table_lines(list(rows[0]), [list(row.values()) for row in rows])
    if len(outcome.settings) > MOST_ROWS:
        yield f"and {len(outcome.settings) - MOST_ROWS:,} more; --json lists all"
    counts = [f"{count} {state}" for state, count in outcome.states.items()]
    yield f"{counted(len(outcome.settings), 'trial')}: {', '.join(counts)}"
    best = outcome.best
    if best is not None:
        setting = " ".join(f"{key}={word}" for key, word in best.setting.items())
        yield f"best: {setting or 'the one setting'}: {sweep.metric} {_mean(best)}"
        if outcome.states.get("complete", 0) > 1:
            yield (
                "It was chosen as the best, so its mean is optimistic: train it with new seeds "
                "before you report it."
            )
    yield from _budget(outcome, others)


def sweeps_lines(paper: str, sweeps: "Sequence[Sweep]") -> Iterator[str]:
    """The sweeps of a paper."""
    rows = [
        [
            each.name,
            each.experiment,
            ", ".join(each.keys),
            str(len(each.seeds)),
            each.sampler,
            f"{each.direction} {each.metric}",
        ]
        for each in sweeps
    ]
    if rows:
        columns = ["sweep", "experiment", "varies", "seeds", "sampler", "best is"]
        yield from table_lines(columns, rows)
    yield f"{counted(len(sweeps), 'sweep')} of {paper}"


def _row(outcome: "SweepOutcome", each: "SettingOutcome") -> dict[str, str]:
    sweep = outcome.sweep
    row = {"trial": str(each.trial)}
    for key in sweep.keys:
        row[key] = _short(each.setting.get(key, "-"))
    row[sweep.metric] = _mean(each) if each.mean is not None else "-"
    if 1 < len(sweep.seeds) <= MANY:
        for seed in sweep.seeds:
            known = seed in each.values
            value = each.values.get(seed)
            row[f"seed {seed}"] = (
                shown_number(value) if value is not None else "nan" if known else "-"
            )
    row["took"] = shown_duration(each.seconds)
    row["state"] = each.state + (f": {each.why.splitlines()[0]}" if each.why else "")
    return row


def _mean(each: "SettingOutcome") -> str:
    spread = f" ± {each.sd:.2g} (sd of {len(each.values)})" if each.sd is not None else ""
    return shown_metric(each.mean) + spread


def _short(word: str) -> str:
    """A value as it was typed; a number that a sampler drew has four digits."""
    try:
        number = float(word)
    except ValueError:
        return word
    return f"{number:.4g}" if len(word) > 8 else word


def _budget(outcome: "SweepOutcome", others: "Sequence[SweepOutcome]") -> Iterator[str]:
    """Expected best of 1, 2, 4, ... trials."""
    shown = [each for each in (outcome, *others) if len(each.budget) > 2]
    if not shown:
        return
    most = max(len(each.budget) for each in shown)
    places = [2**power for power in range(20) if 2**power < most] + [most]
    rows = []
    for each in shown:
        points = {point.trials: point for point in each.budget}
        cells = [shown_metric(points[n].best) if n in points else "-" for n in places]
        rows.append([each.sweep.name, *cells])
    drawn = all(each.sweep.sampler == "random" for each in shown)
    yield (
        "expected best of n trials" + ("" if drawn else ", if these had been drawn at random") + ":"
    )
    yield from table_lines(["n", *map(str, places)], rows)
