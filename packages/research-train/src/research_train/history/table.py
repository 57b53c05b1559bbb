"""List, filter and sort the recorded runs as a table.

    from research_train import runs
    for run in runs("mnist1d", where=["learning_rate>1e-3"], sort="test/accuracy", limit=10):
        print(run.id, run.metrics)

Every call reads the run folders again; there is no other state.
"""

import re
from collections.abc import Sequence
from typing import get_args

from research_data.errors import UsageError

from research_train.experiment.members import find_member, installed_members
from research_train.history.conditions import parse_condition, resolve_key
from research_train.record.folders import all_run_folders
from research_train.record.record import (
    RunRecord,
    Status,
)
from research_train.record.summary import RunSummary, summarise

BEST_IS_SMALL = re.compile(r"loss|error|perplexity|nll")  # names of metrics


def runs(
    paper: str | None = None,
    experiment: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
    group: str | None = None,
) -> list[RunSummary]:
    """The recorded runs, newest first.

    experiment: its name, with or without the paper's in front. where: conditions that must all
    hold, like "lr>1e-3", "optimizer.lr<=0.1", "model=cnn", "test/accuracy>0.9". A key is a config
    key or a final metric; its last part is enough if only one key ends so. sort: a key to sort by,
    best first: losses, errors and config keys smallest first, other metrics largest first; runs
    without it, or with NaN, come last. reverse: reverse the order, except of those last ones.
    group: as `train --group` and sweeps record it. Runs whose record can't be read are listed
    unless a filter needs the record.

    Raises UsageError for an unknown paper, status or key, or a condition that can't be understood.
    """
    if status is not None and status not in (known := [*get_args(Status), "unreadable"]):
        raise UsageError(f"there is no status {status!r}; use one of {', '.join(known)}")
    conditions = [parse_condition(text) for text in where]
    found = [summarise(folder) for folder in all_run_folders()]
    if paper is not None:
        name = _paper_name(paper, {n for run in found for n in (run.paper, run.folder.parent.name)})
        found = [run for run in found if name in (run.paper, run.folder.parent.name)]
    if experiment is not None:
        found = [run for run in found if run.record and _is_of(run.record, experiment)]
    keys = {key for run in found for key in run.values} if where or sort else set()
    if status is not None:
        found = [run for run in found if run.status == status]
    if tag is not None:
        found = [run for run in found if run.record and tag in run.record.tags]
    if group is not None:
        found = [run for run in found if run.record and run.record.group == group]
    if keys:
        for condition in conditions:
            key = resolve_key(condition.key, keys)
            found = [run for run in found if condition.holds(run.values.get(key))]
    elif where:
        found = []
    found.sort(key=lambda run: run.started, reverse=True)
    if sort is not None and keys:
        found = _sorted(found, resolve_key(sort, keys), reverse)
    elif reverse:
        found.reverse()
    return found[:limit]


def _sorted(found: list[RunSummary], key: str, reverse: bool) -> list[RunSummary]:
    having = [run for run in found if _has_place(run.values.get(key))]
    missing = [run for run in found if not _has_place(run.values.get(key))]
    metric = any(key in run.metrics for run in having)
    largest_first = metric and not BEST_IS_SMALL.search(key)

    def rank(run: RunSummary) -> tuple[bool, float, str]:
        value = run.values[key]
        if isinstance(value, int | float):
            return False, value, ""
        return True, 0.0, str(value)

    return sorted(having, key=rank, reverse=largest_first is not reverse) + missing


def _has_place(value: object) -> bool:
    """Whether a value can be sorted: None and NaN can't."""
    return value is not None and value == value


def _paper_name(text: str, recorded: set[str]) -> str:
    """The name of a paper that has runs, installed or not, or else that is installed."""
    return text if text in recorded else find_member(text, installed_members()).name


def _is_of(record: RunRecord, experiment: str) -> bool:
    return record.experiment in (experiment, f"{record.paper}.{experiment}")
