"""The lock of an asset's folder: one process at a time changes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from research_data.errors import StorageError
from research_data.shown import say


@contextmanager
def locked(folder: Path, quiet: bool = True, wait: bool = True) -> Iterator[None]:
    """Hold the lock that only one process has for an asset's folder; its file always stays.

    Raises StorageError, BlockingIOError when another process holds it and wait is False.
    """
    import filelock

    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not wait:
            raise BlockingIOError(f"{folder}: another process is at work on it") from None
        if not quiet:
            say(f"{folder.name}: another process is at work on it; waiting")
        lock.acquire()
    except OSError as error:
        raise StorageError(folder, error) from error
    try:
        yield
    finally:
        lock.release()
