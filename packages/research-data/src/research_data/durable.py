"""Write files so that a reader never sees half of one, even after a crash."""

import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from research_data.errors import StorageError


def write_bytes(path: Path, content: bytes) -> None:
    """Replace path by content in one step. Raises StorageError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        _remove_quietly(beside)
        raise StorageError(path, error) from error


def write_json(path: Path, value: object) -> None:
    """Replace path by value as indented JSON. Raises StorageError."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    # Half of a surrogate pair has no UTF-8 form: it is written as a JSON escape.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside path; it is renamed to path when the block succeeds.

    Raises FileExistsError when another process made path first, StorageError when it can't be
    written. After any exception nothing is left behind.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(
            tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
        )
        # mkdtemp makes it private to the user. In a folder that a group shares, all that is made
        # belongs to that group by the set-group-ID bit, which a chmod without it would take away.
        partial.chmod(0o777 & ~_umask() | partial.stat().st_mode & stat.S_ISGID)
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                fsync_file(file)
        fsync_file(partial)
        partial.rename(path)  # the system refuses this when path is a folder that isn't empty
        fsync_file(path.parent)
    except OSError as error:
        if path.is_dir() and any(path.iterdir()):
            raise FileExistsError(f"{path} exists") from error
        raise StorageError(path, error) from error
    except SafetensorError as error:  # raised by the safetensors writer when the disk is full
        raise StorageError(path, OSError(0, str(error))) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def replace_link(link: Path, target: Path | str) -> None:
    """Make link a symbolic link to target, in one step, in place of an earlier link."""
    # Not the process's number alone: another node's process may have the same.
    beside = link.with_name(f".{link.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        beside.symlink_to(target)
        beside.replace(link)
    except OSError as error:
        _remove_quietly(beside)
        raise StorageError(link, error) from error


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_file(path: Path) -> None:
    """Flush a file, or a folder's list of names, from the system's cache to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove_quietly(path: Path) -> None:
    with suppress(OSError):  # the earlier error is the one to report
        path.unlink(missing_ok=True)
