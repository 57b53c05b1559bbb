"""List, filter and sort the recorded runs as a table.

    from research_train import runs
    for run in runs("mnist1d", where=["learning_rate>1e-3"], sort="test/accuracy", limit=10):
        print(run.id, run.metrics)

    pandas.DataFrame(run.row() for run in runs("mnist1d"))

Every call looks at the run folders again; of what hasn't changed since, it may know the content.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from research_data.errors import UsageError

from research_train.experiment.members import find_member, installed_members
from research_train.history.comparison import varying_keys
from research_train.history.conditions import parse_condition, resolve_key
from research_train.history.html_table import html_table, html_text
from research_train.history.known_runs import KnownRun, in_full, known_run, known_runs
from research_train.history.many_runs import all_run_paths, summarise_all, summarise_newest
from research_train.history.recorded_run import RecordedRun
from research_train.history.sort_order import Best, SortOrder, sort_order
from research_train.record.record import Status


@dataclass(frozen=True)
class Asked:
    """What is asked of a table: the arguments of `runs`."""

    paper: str | None = None
    experiment: str | None = None
    status: str | None = None
    tag: str | None = None
    where: tuple[str, ...] = ()
    sort: str | None = None
    limit: int | None = None
    reverse: bool = False
    best: Best | None = None
    group: str | None = None


@dataclass(frozen=True)
class KnownTable:
    """A RunTable of what is known of its runs."""

    runs: list[KnownRun]
    matching: int
    order: SortOrder | None


@dataclass(frozen=True)
class RunTable:
    """Runs as a table lists them. matching: number of runs before the limit.

    order: how they are sorted; None for newest first.
    """

    runs: list[RecordedRun]
    matching: int
    order: SortOrder | None

    def _repr_html_(self) -> str:
        """What a notebook shows: a row a run, with what differs in their configs."""
        keys = varying_keys(self.runs)
        names = dict.fromkeys(name for run in self.runs for name in run.metrics)
        rows = [
            [run.id, run.status, *map(run.config.get, keys), *map(run.metrics.get, names)]
            for run in self.runs
        ]
        left = self.matching - len(self.runs)
        more = f"<p>{html_text(f'and {left:,} more')}</p>" if left else ""
        return html_table(["run", "status", *keys, *names], rows) + more


def runs(
    paper: str | None = None,
    experiment: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
    best: Best | None = None,
    group: str | None = None,
) -> list[RecordedRun]:
    """The recorded runs, newest first.

    experiment: its name, with or without the paper's in front. where: conditions that must all
    hold, like "lr>1e-3", "optimizer.lr<=0.1", "model=cnn", "test/accuracy>0.9". A key is a config
    key or a final metric; its last part is enough if only one key ends so. sort: a key to sort by,
    best first; config keys upwards; runs without it, or with NaN, come last. best: which end of
    the metric is the best, "min" or "max"; by default as the papers' claims say, or else its name
    (`run_table` tells which). reverse: reverse the order, except of those last ones. group: as
    `train --group` and sweeps record it. Runs whose record can't be read are listed unless a filter
    needs the record. With a limit alone, only the newest are read, as their folders' names say it.

    Raises UsageError for an unknown paper, status or key, or a condition that can't be understood.
    """
    return run_table(paper, experiment, status, tag, where, sort, limit, reverse, best, group).runs


def run_table(
    paper: str | None = None,
    experiment: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
    best: Best | None = None,
    group: str | None = None,
) -> RunTable:
    """The runs as `runs` gives them, how many there are without the limit, and their order.

    Raises UsageError as `runs` does, and for best without sort.
    """
    asked = Asked(paper, experiment, status, tag, tuple(where), sort, limit, reverse, best, group)
    if asked == Asked():  # all are read
        with _collector_paused():
            found = summarise_all(all_run_paths())
            found.sort(key=lambda run: run.started, reverse=True)
            return RunTable(found, len(found), None)
    table = known_table(asked)
    with _collector_paused():
        return RunTable(list(in_full(table.runs)), table.matching, table.order)


def known_table(asked: Asked) -> KnownTable:
    """The table of `run_table`, for which as few records are read as need be."""
    if asked.best is not None and asked.sort is None:
        raise UsageError(
            f"--{asked.best} says which end of a metric comes first: give --sort KEY as well"
        )
    with _collector_paused():
        paths = all_run_paths()
        if asked.limit and asked == Asked(limit=asked.limit):
            newest = [known_run(run) for run in summarise_newest(paths, asked.limit)]
            newest.sort(key=lambda run: run.started, reverse=True)
            return KnownTable(newest[: asked.limit], len(paths), None)
        found, key = _chosen(paths, asked)
        found.sort(key=lambda run: run.started, reverse=True)
        having = [run for run in found if key and _can_be_sorted(run.value(key))]
        order = _order(key, having, asked) if key and having else None
        if order:
            lacking = [run for run in found if not _can_be_sorted(run.value(order.key))]
            found = _sorted(having, order) + lacking
        elif asked.reverse:
            found.reverse()
        return KnownTable(found[: asked.limit], len(found), order)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Python's cyclic garbage collector paused: it looks at every record again and again.

    That is a third of the time that ten thousand records take, which hold no cycles.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _chosen(paths: Sequence[str], asked: Asked) -> tuple[list[KnownRun], str | None]:
    """The runs that meet all conditions, and the whole key to sort by."""
    status, group = asked.status, asked.group
    if status is not None and status not in (known := [*get_args(Status), "unreadable"]):
        raise UsageError(f"there is no status {status!r}; use one of {', '.join(known)}")
    conditions = [parse_condition(text) for text in asked.where]
    found = known_runs(paths)
    if asked.paper is not None:
        name = _paper_name(asked.paper, {name for run in found for name in _papers(run)})
        found = [run for run in found if name in _papers(run)]
    if asked.experiment is not None:
        found = [run for run in found if _is_of(run, asked.experiment)]
    keys: set[str] = set()
    if asked.where or asked.sort:
        keys.update(*(run.config for run in found), *(run.metrics for run in found))
    if status is not None:
        found = [run for run in found if run.status == status]
    if asked.tag is not None:
        found = [run for run in found if run.record and asked.tag in run.record.tags]
    if group is not None:
        found = [run for run in found if run.record and run.record.group == group]
    if keys:
        for condition in conditions:
            key = resolve_key(condition.key, keys)
            found = [run for run in found if condition.holds(run.value(key))]
    elif asked.where:
        found = []
    return found, resolve_key(asked.sort, keys) if asked.sort is not None and keys else None


def _order(key: str, having: Sequence[KnownRun], asked: Asked) -> SortOrder:
    is_metric = any(key in run.metrics for run in having)
    papers = sorted({run.paper for run in having}) if is_metric else []
    return sort_order(key, papers, asked.best, asked.reverse)


def _sorted(having: list[KnownRun], order: SortOrder) -> list[KnownRun]:
    def rank(run: KnownRun) -> tuple[bool, float, str]:
        value = run.value(order.key)
        if isinstance(value, int | float):
            return False, value, ""
        return True, 0.0, str(value)

    return sorted(having, key=rank, reverse=order.first == "largest")


def _can_be_sorted(value: object) -> bool:
    return value is not None and value == value  # NaN isn't


def _papers(run: KnownRun) -> tuple[str, str]:
    """The paper that a run is of, and the one among whose runs it lies."""
    return run.paper, run.path.rsplit("/", 2)[1]


def _paper_name(text: str, recorded: set[str]) -> str:
    """The name of a paper that has runs, installed or not, or else that is installed."""
    return text if text in recorded else find_member(text, installed_members()).name


def _is_of(run: KnownRun, experiment: str) -> bool:
    names = (experiment, f"{run.paper}.{experiment}")
    return run.record is not None and run.record.experiment in names
