"""The lock of a run's folder, which tells whether a process is working on the run.

The system frees the lock when the process dies.
"""

import fcntl
from pathlib import Path
from typing import IO

from research_data.lock import try_lock

from research_train.record.record import RunRecord, Status

LOCK = ".lock"
PATIENCE = 0.45  # seconds: who only looks at the run holds its lock too, for a moment


def run_status(folder: Path, record: RunRecord) -> Status:
    """The recorded status; interrupted for one recorded as running whose process has died.

    Raises OSError for a lock that this user may not look at.
    """
    if record.status != "running":
        return record.status
    # Not `try_lock`: it makes the file and writes into it, and this is only a look, perhaps at
    # the run of another user or on a disk that can't be written to.
    try:
        lock = (folder / LOCK).open(encoding="utf-8")
    except FileNotFoundError:  # a copy of the folder
        return "interrupted"
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return "running"
        # Closing alone would leave it locked while a process forked meanwhile has it open.
        fcntl.flock(lock, fcntl.LOCK_UN)
    return "interrupted"


def lock_run(folder: Path) -> IO[str] | None:
    """The lock file, locked and open, or None when another process holds it.

    Raises StorageError.
    """
    return try_lock(folder / LOCK, patience=PATIENCE)
