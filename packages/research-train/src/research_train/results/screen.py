"""What `reproduce` shows at a terminal while it trains: one table, drawn anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from research_data.shown import printable

if TYPE_CHECKING:
    from rich.console import Group

    from research_train.evidence.trainings import Setting, Work


@contextmanager
def live_table() -> Iterator[Callable[["Work"], None]]:
    """A place for the table on stderr; yields what draws it."""
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        yield lambda work: live.update(progress_table(work))


def progress_table(work: "Work") -> "Group":
    """A row a setting, those under way first, and what is left of all."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("runs", "done", "a run", "under way"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    rows = _rows(work)
    for row in sorted(rows, key=lambda row: (not row[3], _is_done(row[1]))):
        table.add_row(*(Text(printable(cell)) for cell in row))
    return Group(table, Text(_summary(work), style="bold"))


def _rows(work: "Work") -> list[tuple[str, str, str, str]]:
    under_way: dict[Setting, list[str]] = {}
    for training in work.under_way:
        line = training.last_line()
        at = line if line.startswith("step ") else f"{training.seconds:.0f} s"
        under_way.setdefault(training.needed.setting, []).append(
            f"seed {training.needed.seed}: {at}"
        )
    done = [needed.setting for needed in work.done]
    failed = [each.needed.setting for each in work.failed]
    waiting = [needed.setting for needed in work.waiting]
    rows = []
    for setting in dict.fromkeys([*under_way, *waiting, *done, *failed]):
        total = sum(each.count(setting) for each in (done, failed, waiting))
        total += len(under_way.get(setting, []))
        took = work.seconds.get(setting)
        rows.append(
            (
                setting.label,
                f"{done.count(setting)} of {total}"
                + (f", {failed.count(setting)} failed" if setting in failed else ""),
                f"{took:.0f} s" if took else "",
                "; ".join(under_way.get(setting, [])),
            )
        )
    return rows


def _is_done(cell: str) -> bool:
    done, _, total = cell.partition(" of ")
    return done == total


def _summary(work: "Work") -> str:
    total = len(work.waiting) + len(work.under_way) + len(work.done) + len(work.failed)
    left = work.seconds_left()
    parts = [f"{len(work.done)} of {total} runs done"]
    parts += [f"{len(work.failed)} failed"] if work.failed else []
    parts += [f"about {_shown_time(left)} left"] if left else []
    return ", ".join(parts)


def _shown_time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
