"""Print a benchmark, and draw where the time of a step goes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.shown import counted, print_line, shown_size, table_lines
from research_train import Benchmark, RunSpeed

if TYPE_CHECKING:
    from research_train.benchmarking.result import Change, Spread, ThreadsCost


def print_bench(
    made: Benchmark, before: Benchmark | RunSpeed | None, changes: "Sequence[Change]"
) -> None:
    """Print a benchmark as tables for people, and what changed since an earlier one."""
    on = made.gpu or made.cpu
    print_line(f"{made.experiment} on {on}, torch {made.torch}, {counted(made.repeats, 'round')}")
    for cost in made.threads:
        print_line("")
        for line in _lines(made, cost):
            print_line(line)
    for way, why in made.skipped.items():
        print_line("")
        print_line(f"{way} left out: {why}")
    if before is not None:
        print_line("")
        for line in _compared(made, before, changes):
            print_line(line)


def save_picture(made: Benchmark, file: Path) -> None:
    """Draw the stages of a step, a bar for each way and number of threads, into a PNG."""
    from research_viz import part_bars, save_figure

    wholes = {
        f"{way.way}, {counted(cost.threads, 'thread')}": way.stages
        for cost in made.threads
        for way in cost.ways
    }
    figure = part_bars(wholes, "ms a step", f"Where a step's time goes: {made.experiment}")
    save_figure(figure, file.with_suffix(""), formats=["png"])


def _lines(made: Benchmark, cost: "ThreadsCost") -> Iterator[str]:
    first = cost.ways[0].way
    share = cost.step_rate / cost.product_rate
    yield (
        f"{counted(cost.threads, 'thread')}, {counted(cost.steps, 'step')} a turn; a step of "
        f"{made.step_flops:.3g} operations: {first} does {cost.step_rate / 1e9:.3g} of the "
        f"{cost.product_rate / 1e9:.3g} GFLOP/s of a matrix product ({share:.1%})"
    )
    columns = ["way", "ms a step", "of bare", "processor ms", "of bare", "memory", "weights"]
    rows = [
        [
            way.way,
            _spread(way.wall),
            _spread(way.ratio),
            _spread(way.processor),
            _spread(way.processor_ratio),
            shown_size(way.peak_bytes),
            {True: "same", False: "differ", None: "-"}[way.same_weights],
        ]
        for way in cost.ways
    ]
    yield from table_lines(columns, rows)
    stages = list(dict.fromkeys(stage for way in cost.ways for stage in way.stages))
    shares = [
        [way.way, *(f"{way.stages[each]:.4g}" if each in way.stages else "-" for each in stages)]
        for way in cost.ways
    ]
    yield "where it goes, ms a step (one more turn, not among the rounds):"
    yield from table_lines(["way", *stages], shares, right=True)


def _compared(
    made: Benchmark, before: Benchmark | RunSpeed, changes: "Sequence[Change]"
) -> Iterator[str]:
    from research_train.history.comparison import differing

    yield f"new over old, of {before.started}:"
    if keys := list(differing([before.config, made.config])):
        yield f"note: the configs differ in {', '.join(keys)}"
    if before.torch != made.torch:
        yield f"note: torch was {before.torch}"
    rows = [
        [
            str(each.threads),
            each.way,
            f"{each.before:.4g}",
            f"{each.after:.4g}",
            _spread(each.ratio),
            "{:.3f} -> {:.3f}".format(*each.bare_ratio) if each.bare_ratio else "-",
        ]
        for each in changes
    ]
    columns = ["threads", "way", "old ms", "new ms", "new / old", "of bare"]
    yield from table_lines(columns, rows)


def _spread(value: "Spread | None") -> str:
    if value is None:
        return "-"
    return f"{value.median:.3f} ({value.smallest:.3f} to {value.largest:.3f})"
