"""Assets in and out without a hub: archives for machines without a network, and people's own files.

An archive is a plain tar of the asset's folder, .asset.json first: `tar tf` shows what it holds. It
is as trustworthy as whoever made it: what it says of itself is checked, not who said it.
"""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from research_data.assets.catalog import Asset, kind_folder
from research_data.assets.manifest import (
    MANIFEST,
    OLD_MANIFEST,
    FileEntry,
    Kind,
    Manifest,
    check_file_names,
    has_manifest,
    manifest_file,
    parse_manifest,
    read_manifest,
    why_no_name,
)
from research_data.assets.names import name_asset, refuse_name
from research_data.assets.pickles import is_pickle
from research_data.assets.publish import publication, refuse_full_disk
from research_data.assets.verify import CHUNK, OnBytes, sha256_of
from research_data.errors import AssetError, DamagedAssetError, StorageError, UsageError
from research_data.progress import BytesProgress
from research_data.shown import first_few

LARGEST_MANIFEST = 256 << 20  # bytes; a million files
SUFFIXES = (".csv", ".json", ".jsonl", ".parquet", ".arrow", ".txt", ".tar")

Fill = Callable[[Path, dict[str, FileEntry], OnBytes], None]


def is_path(text: str) -> bool:
    """Whether text means files on this disk, and no name: `./rows`, `/data`, `rows.csv`."""
    return text.startswith((".", "/", "~")) or (
        Path(text).suffix in SUFFIXES and Path(text).is_file()
    )


def export_target(path: Path, name: str) -> Path:
    """Where an export goes: path itself, or name in it where it is a folder.

    Raises UsageError when the file exists or its folder doesn't.
    """
    path = path.expanduser()
    target = path / name if path.is_dir() else path
    if target.exists():
        raise UsageError(f"{target} exists; export to another name")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is no folder to write to")
    return target


def export_asset(asset: Asset, path: Path, *, quiet: bool = False) -> Path:
    """Write an asset as one tar archive; path is the file, or the folder for it. Returns the file.

    Every file is hashed on the way. Raises UsageError when the file exists or its folder doesn't,
    DamagedAssetError, StorageError.
    """
    file = export_target(path, f"{asset.folder.name}.tar")
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
            archive.add(manifest_file(asset.folder), f"{root}/{MANIFEST}", recursive=False)
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

    name: what to call it; by default what the archive's was asked for by, or the file is called.
    Hidden files of a folder are left out. Raises UsageError when path isn't there or the name is
    another's, AssetError for an archive that is damaged or holds what it shouldn't, StorageError.
    """
    path = path.expanduser()
    if not path.exists():
        raise UsageError(f"{path} doesn't exist")
    if path.suffix == ".tar" or (path.is_file() and tarfile.is_tarfile(path)):
        return _from_archive(path, kind, name, quiet)
    if path.is_dir() and has_manifest(path):
        manifest = read_manifest(path)
        return _publish(manifest, name, quiet, _copying({n: path / n for n in manifest.files}))
    return _from_own_files(path, kind, name, quiet)


def _from_archive(path: Path, kind: Kind, name: str | None, quiet: bool) -> Asset:
    try:
        with tarfile.open(path, "r:") as archive:
            first = archive.next()
            if (
                first is None
                or Path(first.name).name not in (MANIFEST, OLD_MANIFEST)
                or not first.isreg()
            ):
                raise AssetError(f"{path} is no exported asset: {MANIFEST} isn't its first file")
            if first.size > LARGEST_MANIFEST or first.issparse():
                raise AssetError(f"{path}: its {MANIFEST} has {first.size} bytes, which is absurd")
            opened = archive.extractfile(first)
            assert opened is not None  # a regular file
            try:
                manifest = parse_manifest(opened.read(), path)
            except DamagedAssetError as error:
                raise AssetError(f"{path}: {error.what}") from error
            if manifest.kind != kind:
                raise UsageError(f"{path} holds a {manifest.kind}: `{manifest.kind} import`")
            root = Path(first.name).parent.as_posix()

            def unpack(partial: Path, wanted: dict[str, FileEntry], on_bytes: OnBytes) -> None:
                _unpack(archive, root, manifest, wanted, partial, path, on_bytes)

            return _publish(manifest, name, quiet, unpack)
    except (tarfile.TarError, EOFError) as error:
        raise AssetError(f"{path} is no whole archive of `export`: {error}") from error


def _unpack(
    archive: tarfile.TarFile,
    root: str,
    manifest: Manifest,
    wanted: dict[str, FileEntry],
    partial: Path,
    path: Path,
    on_bytes: OnBytes,
) -> None:
    """Write the files that are wanted, comparing every byte; refuse what isn't in the manifest."""
    left = dict(manifest.files)
    while (member := archive.next()) is not None:
        name = member.name.removeprefix(f"{root}/")
        entry = left.pop(name, None)
        if entry is None or not member.isreg() or member.issparse() or member.size != entry.size:
            raise AssetError(
                f"{path} holds {member.name!r}, which its {MANIFEST} doesn't list as such a file. "
                "Nothing was imported."
            )
        if name not in wanted:
            continue
        source = archive.extractfile(member)
        assert source is not None  # a regular file
        if (sha256 := write_hashed(source, partial / name, on_bytes)) != entry.sha256:
            raise AssetError(
                f"{path} is damaged: {name} has the sha256 {sha256}, {MANIFEST} says "
                f"{entry.sha256}. Nothing was imported."
            )
    if left:
        raise AssetError(f"{path} ends before {first_few(sorted(left))}. Nothing was imported.")


def _from_own_files(path: Path, kind: Kind, name: str | None, quiet: bool) -> Asset:
    called = name or path.resolve().name.partition(".")[0]
    if reason := why_no_name(called):
        raise UsageError(f"{called[:80]!r} can be no name: it {reason}. Say another with --name.")
    below = [path] if path.is_file() else sorted(path.rglob("*"))
    top = path.parent if path.is_file() else path
    seen = [p for p in below if not any(x.startswith(".") for x in p.relative_to(top).parts)]
    if links := [p for p in seen if p.is_symlink()]:
        raise AssetError(
            f"{links[0]} is a link: what it goes to may change or lie elsewhere. Put the file "
            "itself there. Nothing was imported."
        )
    sources = {p.relative_to(top).as_posix(): p for p in seen if p.is_file()}
    if not sources:
        raise UsageError(f"{path} has no files in it")
    check_file_names(sources)
    size = sum(file.stat().st_size for file in sources.values())
    entries: dict[str, FileEntry] = {}
    with BytesProgress(f"hash {path.name}", size, quiet) as progress:
        for file, source in sources.items():
            sha256 = sha256_of(source, progress.update)
            entries[file] = FileEntry(size=source.stat().st_size, sha256=sha256)
    listing = "".join(f"{file}\0{entry.sha256}\n" for file, entry in entries.items())
    manifest = Manifest(
        kind=kind,
        source="local",
        repo_id=called,
        asked_as=[called],
        revision=hashlib.sha256(listing.encode()).hexdigest(),
        files=entries,
    )
    return _publish(manifest, called, quiet, _copying(sources))


def _publish(manifest: Manifest, name: str | None, quiet: bool, fill: Fill) -> Asset:
    """Have what is missing of an asset written by fill, and name it."""
    if manifest.kind == "model" and (pickled := [f for f in manifest.files if is_pickle(f)]):
        raise AssetError(f"{pickled[0]} is pickled, and would run code when read: not imported")
    folder = kind_folder(manifest.kind) / manifest.folder_name
    names = [name] if name else _plain_names(manifest)
    for called in names[:1]:
        refuse_name(folder, called)
    refuse_full_disk(folder, manifest.size, manifest.folder_name)
    with (
        publication(folder, quiet) as opened,
        BytesProgress(f"import {manifest.folder_name}", manifest.size, quiet) as progress,
    ):
        wanted = {n: e for n, e in manifest.files.items() if n not in opened.present.files}
        try:
            fill(opened.partial, wanted, progress.update)
            asked_as = sorted({*manifest.asked_as, *([name] if name else [])})
            given = manifest.model_copy(update={"asked_as": asked_as})
            asset = Asset(folder, opened.publish(given, wanted))
        finally:
            shutil.rmtree(opened.partial, ignore_errors=True)  # an import begins anew
    for called in names:
        try:
            name_asset(asset, called)
        except UsageError:  # here that name means something else already
            if called == name:
                raise
    return asset


def _plain_names(manifest: Manifest) -> list[str]:
    """The names an asset was asked for by, where it came from; else its id."""
    asked = {text.partition("@")[0] for text in manifest.asked_as}
    return sorted(n for n in asked if not why_no_name(n)) or [manifest.repo_id]


def _copying(sources: dict[str, Path]) -> Fill:
    def fill(partial: Path, wanted: dict[str, FileEntry], on_bytes: OnBytes) -> None:
        for name, entry in wanted.items():
            try:
                with sources[name].open("rb") as source:
                    sha256 = write_hashed(source, partial / name, on_bytes)
            except FileNotFoundError as error:
                raise AssetError(f"{sources[name]} is missing; nothing was imported") from error
            if sha256 != entry.sha256:
                raise AssetError(f"{sources[name]} is damaged: its sha256 is {sha256}")

    return fill


def _add(
    archive: tarfile.TarFile, folder: Path, name: str, entry: FileEntry, on_bytes: OnBytes
) -> None:
    try:
        file = (folder / name).open("rb")
    except OSError as error:
        raise DamagedAssetError(folder, f"{name} can't be read: {error.strerror}") from error
    with file:
        info = tarfile.TarInfo(f"{folder.name}/{name}")
        info.size, info.mtime, info.mode = entry.size, int((folder / name).stat().st_mtime), 0o644
        counted = HashingReader(file, on_bytes)
        try:
            archive.addfile(info, counted)
        except OSError as error:
            if (folder / name).stat().st_size != entry.size:
                raise DamagedAssetError(folder, f"{name} ends early") from error
            raise
    if counted.sha256.hexdigest() != entry.sha256:
        raise DamagedAssetError(folder, f"{name} is damaged: its sha256 is not {MANIFEST}'s")


def write_hashed(source: IO[bytes], target: Path, on_bytes: OnBytes) -> str:
    """Copy source to a new file; returns its sha256."""
    hashing = HashingReader(source, on_bytes)
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as written:
        shutil.copyfileobj(hashing, written, CHUNK)
    return hashing.sha256.hexdigest()


class HashingReader(io.RawIOBase):
    """Reads through to a file and hashes what goes by."""

    def __init__(self, file: IO[bytes], on_bytes: OnBytes):
        self._file, self._on_bytes = file, on_bytes
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, hashed."""
        chunk = self._file.read(size)
        self.sha256.update(chunk)
        self._on_bytes(len(chunk))
        return chunk
