"""Run folders on disk: which there are, which is meant, and whether anyone is at work in one.

A process at work on a run holds the lock of its folder, which the system frees when it dies.
"""

import fcntl
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from weakref import WeakSet

from research_data import get_outputs_dir
from research_data.shown import say

from research_train.errors import RunError
from research_train.experiment.members import did_you_mean
from research_train.record.files import RECORD, SOURCES
from research_train.record.record import RunRecord, Status, read_record

LOCK = ".lock"
LOOKS = 10  # how often a lock is tried for before it counts as taken, 50 ms apart


def find_run(paper: str, text: str) -> Path:
    """The folder of a run: its id, how that begins, the name it was given, or its path.

    Raises RunError when there is none, or several.
    """
    if (Path(text) / RECORD).is_file():
        return Path(text).resolve()
    folder = get_outputs_dir() / paper
    named = f"-{run_label(text)}-seed"
    matching = [run for run in run_folders(paper) if run.name.startswith(text) or named in run.name]
    exact = [run for run in matching if run.name == text]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    if matching:
        shown = ", ".join(run.name for run in matching[:5])
        raise RunError(f"{text!r} could be any of {len(matching)} runs of {paper}: {shown}")
    known = [run.name for run in run_folders(paper)]
    newest = f" The newest is {known[-1]}." if known else " It has no runs yet."
    raise RunError(f"no run {text!r} in {folder}.{did_you_mean(text, known) or newest}")


def run_label(name: str) -> str:
    """A name that a user gave, as part of a run's id: it can't leave the folder."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]


def last_run(paper: str, experiment: str, statuses: Sequence[Status]) -> Path | None:
    """The newest run of an experiment that is in one of the statuses."""
    for folder in reversed(run_folders(paper)):
        try:
            record = read_record(folder)
        except RunError as error:
            say(f"warning: {error}")
            continue
        if record.experiment == experiment and run_status(folder, record) in statuses:
            return folder
    return None


def run_folders(paper: str) -> list[Path]:
    """Every run folder of a paper, oldest first."""
    return sorted(path.parent for path in (get_outputs_dir() / paper).glob(f"[!.]*/{RECORD}"))


def code_archive(source: str) -> Path:
    """Where the code of a run is archived; source: as its record names it."""
    return get_outputs_dir() / SOURCES / f"{source}.tar.gz"


def run_status(folder: Path, record: RunRecord) -> Status:
    """The status recorded; interrupted for a run said to be running whose process has died."""
    if record.status != "running":
        return record.status
    try:
        lock = lock_run(folder, "r", fcntl.LOCK_SH)
    except FileNotFoundError:  # a copy of the folder
        return "interrupted"
    if lock is None:
        return "running"
    lock.close()
    return "interrupted"


def lock_run(folder: Path, mode: str, kind: int) -> IO[str] | None:
    """The lock file, locked and open, or None when another process holds it."""
    file = (folder / LOCK).open(mode, encoding="utf-8")
    # Who only looks at the run holds its lock too, for a moment.
    looks = LOOKS if kind == fcntl.LOCK_EX else 1
    for look in range(looks):
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if look + 1 < looks:
                time.sleep(0.05)
        else:
            _open_locks.add(file)
            return file
    file.close()
    return None


def _close_locks() -> None:
    """A forked process, a DataLoader's worker say, is not at work on the run: the lock is free
    when the process that took it dies, though its workers live on for seconds.
    """
    for file in _open_locks:
        file.close()


_open_locks: WeakSet[IO[str]] = WeakSet()
os.register_at_fork(after_in_child=_close_locks)
