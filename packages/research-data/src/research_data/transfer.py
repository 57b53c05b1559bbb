"""Assets in and out without a hub: archives for machines without a network, and people's own files.

An archive is a plain tar of the asset's folder, asset.json first: `tar tf` shows what it holds.
"""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from research_data.catalog import Asset, check_name, kind_folder, name_asset
from research_data.durable import new_folder
from research_data.errors import AssetError, DamagedAssetError, StorageError, UsageError
from research_data.manifest import (
    MANIFEST,
    FileEntry,
    Kind,
    Manifest,
    check_file_names,
    folder_name,
    read_manifest,
)
from research_data.progress import BytesProgress
from research_data.verify import (
    CHUNK,
    OnBytes,
    check_asset,
    take_stamps,
    verify_asset,
    write_stamps,
)


def export_asset(asset: Asset, path: Path, *, quiet: bool = False) -> Path:
    """Write an asset as one tar archive; path is the file, or the folder for it. Returns the file.

    Every file is hashed on the way. Raises UsageError when the file exists, DamagedAssetError,
    StorageError.
    """
    file = path / f"{asset.folder.name}.tar" if path.is_dir() else path
    if file.exists():
        raise UsageError(f"{file} exists; export to another name")
    manifest = read_manifest(asset.folder)
    beside = file.with_name(f".{file.name}.partial")
    label = f"export {asset.folder.name}"
    try:
        with (
            BytesProgress(label, manifest.size, quiet) as progress,
            beside.open("wb") as opened,
            tarfile.open(fileobj=opened, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            root = asset.folder.name
            archive.add(asset.folder / MANIFEST, f"{root}/{MANIFEST}", recursive=False)
            for name, entry in manifest.files.items():
                _add(archive, asset.folder, name, entry, progress.update)
        beside.replace(file)
    except OSError as error:
        raise StorageError(file, error) from error
    finally:
        beside.unlink(missing_ok=True)
    return file


def import_asset(
    path: Path, kind: Kind = "dataset", name: str | None = None, *, quiet: bool = False
) -> Asset:
    """Take an exported archive, an asset's folder, or files of one's own (csv, json, parquet, a
    folder of them) into assets; every file is hashed, and nothing half is left.

    name: what to call it; by default as the archive or file is called. Raises UsageError when
    path isn't there, AssetError for an archive that is damaged or names files outside its folder,
    StorageError.
    """
    if not path.exists():
        raise UsageError(f"{path} doesn't exist")
    if path.is_file() and tarfile.is_tarfile(path):
        return _from_archive(path, kind, name, quiet)
    if path.is_dir() and (path / MANIFEST).exists():
        manifest = verify_asset(path)
        return _from_files(path, manifest, name, quiet)
    return _from_own_files(path, kind, name, quiet)


def _from_archive(path: Path, kind: Kind, name: str | None, quiet: bool) -> Asset:
    try:
        with tarfile.open(path) as archive:
            first = archive.next()
            if first is None or Path(first.name).name != MANIFEST:
                raise AssetError(f"{path} is no exported asset: {MANIFEST} isn't its first file")
            manifest = _manifest_in(archive, first, path)
            if manifest.kind != kind:
                raise UsageError(f"{path} holds a {manifest.kind}: `{manifest.kind} import`")
            root = Path(first.name).parent.as_posix()
            with _published(manifest, name) as (partial, fresh):
                if fresh:
                    _unpack(archive, root, manifest, partial, path, quiet)
    except tarfile.TarError as error:
        raise AssetError(f"{path} is damaged: {error}") from error
    return _named(manifest, name)


def _manifest_in(archive: tarfile.TarFile, first: tarfile.TarInfo, path: Path) -> Manifest:
    opened = archive.extractfile(first)
    content = opened.read() if opened else b""
    with new_scratch() as folder:
        (folder / MANIFEST).write_bytes(content)
        try:
            return read_manifest(folder)
        except DamagedAssetError as error:
            raise AssetError(f"{path}: {error.what}") from error
        except AssetError as error:
            raise AssetError(str(error).replace(str(folder), str(path))) from error


@contextmanager
def new_scratch() -> Iterator[Path]:
    """A folder for a moment."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _unpack(
    archive: tarfile.TarFile,
    root: str,
    manifest: Manifest,
    partial: Path,
    path: Path,
    quiet: bool,
) -> None:
    """Write the files that the manifest lists, and only those, comparing every byte."""
    left = dict(manifest.files)
    with BytesProgress(f"import {manifest.folder_name}", manifest.size, quiet) as progress:
        while (member := archive.next()) is not None:
            name = member.name.removeprefix(f"{root}/")
            entry = left.pop(name, None)
            if entry is None or not member.isreg():
                raise AssetError(
                    f"{path} holds {member.name!r}, which its {MANIFEST} doesn't list as a file. "
                    "Nothing was imported."
                )
            source = archive.extractfile(member)
            assert source is not None  # a regular file
            target = partial / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as written:
                sha256 = _copy(source, written, progress.update)
            if sha256 != entry.sha256 or target.stat().st_size != entry.size:
                raise AssetError(
                    f"{path} is damaged: {name} has the sha256 {sha256}, {MANIFEST} says "
                    f"{entry.sha256}. Nothing was imported."
                )
    if left:
        raise AssetError(f"{path} ends before {', '.join(sorted(left)[:5])}. Nothing was imported.")


def _from_files(folder: Path, manifest: Manifest, name: str | None, quiet: bool) -> Asset:
    with (
        _published(manifest, name) as (partial, fresh),
        BytesProgress(f"import {manifest.folder_name}", manifest.size, quiet) as progress,
    ):
        if fresh:
            for file, entry in manifest.files.items():
                _take(folder / file, partial / file, entry, progress.update)
    return _named(manifest, name)


def _from_own_files(path: Path, kind: Kind, name: str | None, quiet: bool) -> Asset:
    called = name or path.name.partition(".")[0]
    check_name(called)
    sources = (
        {path.name: path}
        if path.is_file()
        else {
            file.relative_to(path).as_posix(): file
            for file in sorted(path.rglob("*"))
            if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
        }
    )
    if not sources:
        raise UsageError(f"{path} has no files in it")
    check_file_names(sources)
    size = sum(file.stat().st_size for file in sources.values())
    entries: dict[str, FileEntry] = {}
    with BytesProgress(f"hash {path.name}", size, quiet) as progress:
        from research_data.verify import sha256_of

        for file, source in sources.items():
            sha256 = sha256_of(source, progress.update)
            entries[file] = FileEntry(size=source.stat().st_size, sha256=sha256)
    key = hashlib.sha256(
        "".join(f"{file}\0{entry.sha256}\n" for file, entry in entries.items()).encode()
    ).hexdigest()
    manifest = Manifest(
        kind=kind, source="local", repo_id=called, revision=key, licence=None, files=entries
    )
    with (
        _published(manifest, called) as (partial, fresh),
        BytesProgress(f"import {manifest.folder_name}", size, quiet) as progress,
    ):
        if fresh:
            for file, entry in entries.items():
                _take(sources[file], partial / file, entry, progress.update)
    return _named(manifest, called)


@contextmanager
def _published(manifest: Manifest, name: str | None) -> Iterator[tuple[Path, bool]]:
    """A folder to fill that becomes the asset's, or the asset's own where it is here, intact."""
    if name:
        check_name(name)
    folder = kind_folder(manifest.kind) / folder_name(manifest.repo_id, manifest.revision)
    if folder.exists():
        check_asset(folder)
        yield folder, False
        return
    try:
        with new_folder(folder) as partial:
            yield partial, True
            manifest.write(partial)
    except FileExistsError:  # another process brought the same
        check_asset(folder)
    else:
        write_stamps(folder, take_stamps(folder, manifest))


def _named(manifest: Manifest, name: str | None) -> Asset:
    folder = kind_folder(manifest.kind) / folder_name(manifest.repo_id, manifest.revision)
    asset = Asset(folder, manifest)
    name_asset(asset, name or manifest.repo_id)
    return asset


def _add(
    archive: tarfile.TarFile, folder: Path, name: str, entry: FileEntry, on_bytes: OnBytes
) -> None:
    info = archive.gettarinfo(folder / name, f"{folder.name}/{name}")
    if not info.isreg():  # a hard link to one already added
        info.type, info.size = tarfile.REGTYPE, entry.size
    with (folder / name).open("rb") as file:
        counted = _Hashing(file, on_bytes)
        try:
            archive.addfile(info, counted)
        except OSError as error:
            raise DamagedAssetError(folder, f"{name} ends early ({error})") from error
    if counted.sha256.hexdigest() != entry.sha256:
        raise DamagedAssetError(folder, f"{name} is damaged: its sha256 is not {MANIFEST}'s")


def _take(source: Path, target: Path, entry: FileEntry, on_bytes: OnBytes) -> None:
    """Copy a file, and refuse it when its bytes are not the entry's."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("wb") as written:
        sha256 = _copy(read, written, on_bytes)
    if sha256 != entry.sha256:
        raise AssetError(f"{source} changed while it was read; nothing was imported")


def _copy(source: IO[bytes], target: IO[bytes], on_bytes: OnBytes) -> str:
    hashing = _Hashing(source, on_bytes)
    shutil.copyfileobj(hashing, target, CHUNK)
    return hashing.sha256.hexdigest()


class _Hashing(io.RawIOBase):
    """Reads through to a file and hashes what goes by."""

    def __init__(self, file: IO[bytes], on_bytes: OnBytes):
        self._file, self._on_bytes = file, on_bytes
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        self.sha256.update(chunk)
        self._on_bytes(len(chunk))
        return chunk
