"""The lock of a run's folder, which tells whether a process is working on the run.

The system frees the lock when the process dies.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO
from weakref import WeakSet

from research_train.record.record import RunRecord, Status

LOCK = ".lock"
LOOKS = 10  # how often a lock is tried for before it counts as taken, 50 ms apart


def run_status(folder: Path, record: RunRecord) -> Status:
    """The recorded status; interrupted for one recorded as running whose process has died."""
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
    # A process that only checks a run's status also holds its lock for a moment.
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
    """Close the locks in a forked process, a DataLoader's worker say.

    So a lock is free as soon as the process that took it dies, though its workers live on for
    seconds.
    """
    for file in _open_locks:
        file.close()


_open_locks: WeakSet[IO[str]] = WeakSet()
os.register_at_fork(after_in_child=_close_locks)
