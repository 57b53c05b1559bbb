"""The lock of an asset's folder, so that one process at a time changes it."""

from contextlib import AbstractContextManager
from pathlib import Path

from research_data.errors import StorageError
from research_data.lock import locked


def lock_file(folder: Path) -> Path:
    """The file beside an asset's folder whose lock stands for the folder; it need not exist."""
    return folder.with_name(f".{folder.name}.lock")


def locked_folder(folder: Path, quiet: bool = True) -> AbstractContextManager[None]:
    """Hold the lock of an asset's folder, which need not exist. Raises StorageError.

    quiet: print nothing while this process waits for another that holds the lock.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(folder, error) from error
    waiting = f"{folder.name}: waiting for another process that is working on it"
    return locked(lock_file(folder), "" if quiet else waiting)
