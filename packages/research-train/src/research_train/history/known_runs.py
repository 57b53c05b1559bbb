"""What a table chooses and sorts its runs by, remembered of those that have ended.

To read, check and flatten a record and its config takes a tenth of a millisecond: ten seconds for a
hundred thousand runs, of which a filter leaves a few. So what filters ask is written into one file
beside the runs, under the size, times and inode of both of their files: every write changes one of
them. The file may be removed, and where it can't be written all is slower but works.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from research_data import get_outputs_dir
from research_data.durable import write_bytes
from research_data.errors import StorageError

from research_train.code.parsed_files import SETTLED
from research_train.history.many_runs import summarise_all
from research_train.history.recorded_run import RecordedRun
from research_train.record.folders import CONFIG, RECORD
from research_train.record.record import RecordedMetrics
from research_train.record.summary import Shown

KNOWN = ".known-runs"  # in the outputs
VERSION = 1  # of its content
MANY = 200  # runs that had to be read make it worth writing; they take 20 ms


@dataclass(frozen=True)
class KnownRun:
    """What filters and an order ask of a run, as RunSummary and RunRecord have it.

    path: of its folder. run: the run itself, if it had to be read.
    """

    path: str
    run: RecordedRun | None
    paper: str
    experiment: str | None
    status: Shown
    started: str
    group: str | None
    tags: list[str]
    config: dict[str, object]
    metrics: RecordedMetrics

    def value(self, key: str) -> object:
        """The final metric called key, or else the value of that config key; None without it."""
        return self.metrics[key] if key in self.metrics else self.config.get(key)


def known_runs(paths: Sequence[str]) -> list[KnownRun]:
    """What is to be known of the run folders with these paths, in their order."""
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
        found.append(KnownRun(path, run, *known))
        if state and (run is None or (run.record and run.record.status != "running")):
            facts[state] = known
            changes += run is not None
    if changes >= MANY:
        content = json.dumps({"version": VERSION, "runs": facts})
        with suppress(StorageError):  # another user's folder, or a full disk
            write_bytes(file, content.encode())
    return found


def in_full(known: Sequence[KnownRun]) -> Iterator[RecordedRun]:
    """The runs themselves."""
    read = iter(summarise_all(each.path for each in known if each.run is None))
    return (each.run or next(read) for each in known)


def _remembered(file: Path) -> dict[str | None, list[Any]]:
    """State of a run -> its facts."""
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        content = json.loads(file.read_bytes())
        if content["version"] == VERSION:
            return dict(content["runs"])
    return {}


def _facts(run: RecordedRun) -> list[Any]:
    """What KnownRun says of a run, after the run itself."""
    record = run.record
    recorded = (record.experiment, record.group, record.tags) if record else (None, None, [])
    experiment, group, tags = recorded
    return [run.paper, experiment, run.status, run.started, group, tags, run.config, run.metrics]


def _state(path: str, now: float) -> str | None:
    """What names the present content of both files; None if they are too new to be told by it."""
    state = [path]
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
