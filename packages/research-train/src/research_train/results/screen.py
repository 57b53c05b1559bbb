"""Show `reproduce` at a terminal while it trains, as one table that is updated."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from research_data.shown import table_lines

if TYPE_CHECKING:
    from rich.console import Group

    from research_train.evidence.trainings import Setting, Work


@contextmanager
def live_table() -> Iterator[Callable[["Work"], None]]:
    """A place for the table on stderr; yields what draws it.

    It is taken when something is drawn first, as downloads may show their progress before.
    """
    from rich.console import Console
    from rich.live import Live

    live = Live(console=Console(stderr=True), refresh_per_second=4)

    def draw(work: "Work") -> None:
        live.start()  # does nothing the second time
        live.update(progress_table(work))

    try:
        yield draw
    finally:
        live.stop()


def progress_table(work: "Work") -> "Group":
    """One row per setting, those under way first, and a summary of what is left."""
    from rich.console import Group
    from rich.text import Text

    rows = sorted(_rows(work), key=lambda row: (not row[3], _is_done(row[1])))
    head, *lines = table_lines(("runs", "done", "a run", "under way"), rows)
    parts = (Text(head, "bold"), *map(Text, lines), Text(_summary(work), "bold"))
    for part in parts:
        part.no_wrap, part.overflow = True, "ellipsis"
    return Group(*parts)


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
