"""Write and read a tar archive that begins with its manifest; every byte is verified.

It is a plain tar, so that `tar tf` shows what it holds. Its entries have no owner and no time, so
that equal content gives equal bytes. The files are checked against the archive's own manifest;
nothing proves who made the archive.
"""

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from research_data.assets.manifest import FileEntry
from research_data.assets.verify import CHUNK, OnBytes
from research_data.durable import fsync_file
from research_data.errors import ResearchError, StorageError, UsageError
from research_data.shown import first_few

LARGEST_MANIFEST = 256 << 20  # bytes; a million files


def export_target(path: Path, name: str) -> Path:
    """The file to export to: path itself, or the file `name` in path if path is a folder.

    Raises UsageError when the file exists or its folder doesn't.
    """
    path = path.expanduser()
    target = path / name if path.is_dir() else path
    if target.exists():
        raise UsageError(f"{target} exists; export to another name")
    if not target.parent.is_dir():
        raise UsageError(f"the folder {target.parent} doesn't exist; make it first")
    return target


def write_archive(
    target: Path,
    manifest: tuple[str, bytes],
    files: Mapping[str, tuple[Path, FileEntry]],
    on_bytes: OnBytes,
    damaged: Callable[[str, str], ResearchError],
) -> None:
    """Write an archive of files, verifying each; target appears once it is complete.

    manifest: its name in the archive and its content. files: name in the archive -> path and entry.
    damaged: makes the error to raise for a file that differs from its entry, from its name and what
    is wrong. Raises StorageError when target can't be written.
    """
    beside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with (
            beside.open("wb") as opened,
            tarfile.open(fileobj=opened, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.addfile(_entry(manifest[0], len(manifest[1])), io.BytesIO(manifest[1]))
            for name, (path, entry) in files.items():
                try:
                    file = path.open("rb")
                except OSError as error:
                    raise damaged(name, f"can't be read: {error.strerror}") from error
                with file:
                    if os.fstat(file.fileno()).st_size < entry.size:
                        raise damaged(name, "ends early")
                    reader = _HashingReader(file, on_bytes)
                    archive.addfile(_entry(name, entry.size), reader)
                if reader.sha256.hexdigest() != entry.sha256:
                    raise damaged(name, f"is damaged: its sha256 is not {entry.sha256}")
        fsync_file(beside)
        beside.replace(target)
        fsync_file(target.parent)
    except OSError as error:
        raise StorageError(target, error) from error
    finally:
        beside.unlink(missing_ok=True)


@dataclass(frozen=True)
class ArchiveReader:
    """An archive being read, after its manifest.

    root: the folder of the manifest in the archive, or "". manifest_name, manifest: the manifest's
    name and content. error: the class of the errors to raise.
    """

    path: Path
    root: str
    manifest_name: str
    manifest: bytes
    error: type[ResearchError]
    _archive: tarfile.TarFile

    def unpack(
        self,
        files: Mapping[str, FileEntry],
        target_of: Callable[[str], Path | None],
        on_bytes: OnBytes,
    ) -> None:
        """Write the files that the manifest lists, and verify each by its hash.

        files: name below root -> entry. target_of: the path to write a file to; None skips it.
        Raises the error for a file that is missing, not listed, or differs from its entry.
        """
        left = dict(files)
        while (member := self._archive.next()) is not None:
            name = member.name.removeprefix(f"{self.root}/" if self.root else "")
            entry = left.pop(name, None)
            plain = member.isreg() and not member.issparse()
            if entry is None or not plain or member.size != entry.size:
                raise self.error(
                    f"{self.path} holds {member.name[:80]!r}, which its {self.manifest_name} "
                    "doesn't list as a plain file of that size. Nothing was imported."
                )
            target, source = target_of(name), self._archive.extractfile(member)
            assert source is not None  # a regular file
            if target is not None and (sha256 := write_hashed(source, target, on_bytes)) != (
                entry.sha256
            ):
                raise self.error(
                    f"{self.path} is damaged: {name} has the sha256 {sha256}, but "
                    f"{self.manifest_name} says {entry.sha256}. Nothing was imported."
                )
        if left:
            missing = first_few(sorted(left))
            raise self.error(f"{self.path} is incomplete: {missing} missing. Nothing was imported.")


@contextmanager
def read_archive(
    path: Path, manifest_names: Collection[str], what: str, error: type[ResearchError]
) -> Iterator[ArchiveReader]:
    """Open an archive whose first file has one of manifest_names.

    what: the content of the archive, for errors: `a run`. Raises the error when the file is not
    such an archive or is broken.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            first = archive.next()
            named = PurePosixPath(first.name) if first is not None else PurePosixPath()
            if first is None or named.name not in manifest_names or not first.isreg():
                expected = next(iter(manifest_names))
                raise error(f"{path} is not an export of {what}: its first file isn't {expected}")
            if first.size > LARGEST_MANIFEST or first.issparse():
                raise error(
                    f"{path}: its {named.name} has {first.size} bytes, more than the "
                    f"{LARGEST_MANIFEST} allowed"
                )
            opened = archive.extractfile(first)
            assert opened is not None  # a regular file
            root = "" if named.parent == PurePosixPath() else str(named.parent)
            yield ArchiveReader(path, root, named.name, opened.read(), error, archive)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as broken:
        raise error(f"{path} is not a complete archive of {what}: {broken}") from broken


def write_hashed(source: IO[bytes], target: Path, on_bytes: OnBytes) -> str:
    """Copy source to a new file; returns its sha256."""
    hashing = _HashingReader(source, on_bytes)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as written:
        shutil.copyfileobj(hashing, written, CHUNK)
    return hashing.sha256.hexdigest()


class _HashingReader(io.RawIOBase):
    """Reads a file and hashes the bytes that it returns."""

    def __init__(self, file: IO[bytes], on_bytes: OnBytes):
        self._file, self._on_bytes = file, on_bytes
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, which are added to the hash."""
        chunk = self._file.read(size)
        self.sha256.update(chunk)
        self._on_bytes(len(chunk))
        return chunk


def _entry(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry
