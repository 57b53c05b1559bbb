"""What tables show of runs and choose them by, remembered of those that have ended.

To read, check and flatten a record and its config takes a tenth of a millisecond: ten seconds for a
hundred thousand runs. So what tables ask is written into one file beside the runs, under the size,
times and inode of both of their files: every write changes one of them. The file may be removed,
and where it can't be written all is slower but works.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from research_data import get_outputs_dir
from research_data.durable import write_bytes
from research_data.errors import StorageError

from research_train.code.parsed_files import SETTLED
from research_train.history.many_runs import all_run_paths, summarise_all
from research_train.history.recorded_run import RecordedRun
from research_train.record.folders import CONFIG, RECORD
from research_train.record.lock import LOCK
from research_train.record.record import RecordedMetrics
from research_train.record.summary import Shown

KNOWN = ".known-runs"  # in the outputs
MEANING = "1"  # another one, when a fact is told in other words or counts otherwise
MANY = 200  # runs that had to be read make it worth writing; they take 20 ms


@dataclass(frozen=True)
class KnownRecord:
    """The fields of a RunRecord that tables show."""

    experiment: str
    name: str | None
    ended: str | None
    seed: int
    group: str | None
    note: str | None
    tags: list[str]
    assets: dict[str, str]


@dataclass(frozen=True)
class KnownRun:
    """What tables ask of a run, under the names that RunSummary has.

    path: of its folder. run: the run itself, if it had to be read.
    """

    path: str
    run: RecordedRun | None
    record: KnownRecord | None
    paper: str
    status: Shown
    started: str
    seconds: float | None
    problem: str | None
    doubt: str | None
    remarks: Sequence[str]
    config: dict[str, object]
    metrics: RecordedMetrics

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.rpartition("/")[2]

    @cached_property
    def folder(self) -> Path:
        """Where it lies."""
        return Path(self.path)

    @property
    def values(self) -> dict[str, object]:
        """Config keys and final metrics; a metric hides a key."""
        return {**self.config, **self.metrics}

    def value(self, key: str) -> object:
        """The value that `values` has, without making them; None if it has none."""
        return self.metrics[key] if key in self.metrics else self.config.get(key)


def known_runs(paths: Sequence[str], many: int = MANY) -> list[KnownRun]:
    """What is to be known of the run folders with these paths, in their order.

    many: how many have to be read for that to be remembered.
    """
    file = get_outputs_dir() / KNOWN
    remembered = _remembered(file)
    now = time.time()
    # A state is taken before its files are read: what is written in between has another.
    states = {path: _state(path, now) for path in paths}
    read = iter(summarise_all(path for path in paths if states[path] not in remembered))
    found, facts, changes = [], {}, 0
    for path, state in states.items():
        run = None if state in remembered else next(read)
        known = _facts(run) if run else remembered[state]
        found.append(_known(path, run, known))
        if state and (run is None or _lasts(run)):
            facts[state] = known
            changes += run is not None
    if changes >= many:
        content = json.dumps({"layout": _layout(), "runs": facts})
        with suppress(StorageError):  # another user's folder, or a full disk
            write_bytes(file, content.encode())
    return found


def remember_runs() -> None:
    """Remember every run: for a process that will ask for those of many papers."""
    known_runs(all_run_paths(), many=1)
    _remembered(get_outputs_dir() / KNOWN)  # as it is now, for forks of this process


def known_run(run: RecordedRun) -> KnownRun:
    """What there is to know of a run that has been read."""
    return _known(str(run.folder), run, _facts(run))


def in_full(known: Sequence[KnownRun]) -> Iterator[RecordedRun]:
    """The runs themselves."""
    read = iter(summarise_all(each.path for each in known if each.run is None))
    return (each.run or next(read) for each in known)


def _lasts(run: RecordedRun) -> bool:
    """Whether this is known as long as the files stay: not of what couldn't be read just now."""
    return run.record is not None and run.record.status != "running" and bool(run.config)


def _remembered(file: Path) -> dict[str | None, list[Any]]:
    """State of a run -> its facts."""
    with suppress(OSError):
        stat = file.stat()
        return _facts_in(file, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return {}


@lru_cache(maxsize=1)  # tens of megabytes where there are many runs, for a process that asks often
def _facts_in(file: Path, state: tuple[int, ...]) -> dict[str | None, list[Any]]:
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        content = json.loads(file.read_bytes())
        if content["layout"] == _layout():
            return dict(content["runs"])
    return {}


def _layout() -> list[str]:
    """What the facts of a run are: those of another version of this package may be others."""
    return [MEANING] + [field.name for kind in (KnownRecord, KnownRun) for field in fields(kind)]


def _known(path: str, run: RecordedRun | None, facts: Sequence[Any]) -> KnownRun:
    record, *others = facts
    return KnownRun(path, run, record and KnownRecord(*record), *others)


def _facts(run: RecordedRun) -> list[Any]:
    """What KnownRun says of a run after the run itself, in the form that JSON has for it."""
    record = run.record and [getattr(run.record, field.name) for field in fields(KnownRecord)]
    return [record, *(getattr(run, field.name) for field in fields(KnownRun)[3:])]


def _state(path: str, now: float) -> str | None:
    """What names the present content of both files; None if they are too new to be told by it."""
    state = [path, "" if os.path.isfile(f"{path}/{LOCK}") else f"no {LOCK}"]
    for name in (RECORD, CONFIG):
        try:
            stat = os.stat(f"{path}/{name}")
        except OSError:  # a run that is being made or removed
            return None
        # A file written twice within one tick of the clock keeps its times.
        if now - max(stat.st_mtime, stat.st_ctime) < SETTLED:
            return None
        state.append(f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}")
    return " ".join(state)
