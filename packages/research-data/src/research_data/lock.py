"""Locks between processes, which the system releases when their holder dies.

flock itself rather than filelock, which is installed with huggingface_hub: that opens the file for
writing and empties it, so it would erase the words of a holder that a waiting process wants to
show, and it knows exclusive locks alone, whereas `run_status` of research-train only looks, at
files that may belong to another user. It exists on Windows, where we don't run for other reasons
as well: links, signals, fork.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from weakref import WeakSet

from research_data.errors import StorageError
from research_data.shown import say

PAUSE = 0.05  # seconds between two tries


@contextmanager
def locked(file: Path, waiting: str = "") -> Iterator[None]:
    """Hold a file's lock, after waiting for any other process; the file is not removed.

    waiting: a line printed on stderr when another process holds the lock. Raises StorageError.
    """
    held = try_lock(file)
    if held is None:
        if waiting:
            say(waiting)
        held = _opened(file)
        fcntl.flock(held, fcntl.LOCK_EX)
    with held:
        yield


def try_lock(file: Path, patience: float = 0.0) -> IO[str] | None:
    """Open the file and lock it; None if another process holds the lock. `close()` frees it.

    The file is created if missing; what its holder writes into it, others can read.
    patience: seconds to keep trying. Raises StorageError.
    """
    opened = _opened(file)
    last = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= last:
                opened.close()
                return None
            time.sleep(PAUSE)
        except OSError as error:  # a file system without locks
            opened.close()
            raise StorageError(file, error) from error
        else:
            return opened


def _opened(file: Path) -> IO[str]:
    try:
        opened = file.open("a+", encoding="utf-8")
    except OSError as error:
        raise StorageError(file, error) from error
    _open_locks.add(opened)
    return opened


def _close_locks() -> None:
    """Free all locks in a forked process, such as a DataLoader's worker.

    Otherwise workers, which outlive their parent by seconds, would keep the locks of a parent that
    died.
    """
    for file in _open_locks:
        file.close()


_open_locks: WeakSet[IO[str]] = WeakSet()
os.register_at_fork(after_in_child=_close_locks)
