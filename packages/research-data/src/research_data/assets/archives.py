"""Export and import assets as archives, and import people's own files.

An archive is a plain tar of the asset's folder, with .asset.json first: `tar tf` shows what it
holds. Its files are checked against its own .asset.json; nothing proves who made the archive, so
it is as trustworthy as its source.
"""

import hashlib
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

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
from research_data.assets.tar_archive import (
    export_target,
    read_archive,
    write_archive,
    write_hashed,
)
from research_data.assets.verify import OnBytes, sha256_of
from research_data.errors import AssetError, DamagedAssetError, UsageError
from research_data.progress import BytesProgress

SUFFIXES = (".csv", ".json", ".jsonl", ".parquet", ".arrow", ".txt", ".tar")

Fill = Callable[[Path, dict[str, FileEntry], OnBytes], None]


def is_path(text: str) -> bool:
    """Whether text is a path on this disk and not a name: `./rows`, `/data`, `rows.csv`."""
    return text.startswith((".", "/", "~")) or (
        Path(text).suffix in SUFFIXES and Path(text).is_file()
    )


def export_asset(asset: Asset, path: Path, *, quiet: bool = False) -> Path:
    """Write an asset as one tar archive; path is the file, or the folder for it. Returns the file.

    Every file is verified while it is written. Raises UsageError when the archive exists or its
    folder doesn't, DamagedAssetError, StorageError.
    """
    file = export_target(path, f"{asset.folder.name}.tar")
    manifest = read_manifest(asset.folder)
    root = asset.folder.name
    try:
        content = manifest_file(asset.folder).read_bytes()
    except OSError as error:
        raise DamagedAssetError(asset.folder, f"its manifest can't be read: {error}") from error
    with BytesProgress(f"export {root}", manifest.size, quiet) as progress:
        write_archive(
            file,
            (f"{root}/{MANIFEST}", content),
            {f"{root}/{n}": (asset.folder / n, entry) for n, entry in manifest.files.items()},
            progress.update,
            lambda name, wrong: DamagedAssetError(
                asset.folder, f"{name.removeprefix(f'{root}/')} {wrong}"
            ),
        )
    return file


def import_asset(
    path: Path, kind: Kind = "dataset", name: str | None = None, *, quiet: bool = False
) -> Asset:
    """Copy an exported archive, an asset's folder, or files of your own (csv, json, parquet, or a
    folder of them) into assets. Every file is hashed; a failed import leaves nothing behind.

    name: the asset's name here; by default the names in the archive, or the name of the file.
    Hidden files of a folder are left out. Raises UsageError when path doesn't exist or another
    asset has the name, AssetError when an archive is damaged or holds unlisted files, StorageError.
    """
    path = path.expanduser()
    if not path.exists():
        raise UsageError(f"{path} doesn't exist")
    if path.suffix == ".tar" or (path.is_file() and tarfile.is_tarfile(path)):
        return _from_archive(path, kind, name, quiet)
    if path.is_dir() and has_manifest(path):
        manifest = read_manifest(path)
        return publish_filled(
            manifest, name, quiet, _copying({n: path / n for n in manifest.files})
        )
    return _from_own_files(path, kind, name, quiet)


def _from_archive(path: Path, kind: Kind, name: str | None, quiet: bool) -> Asset:
    with read_archive(path, [MANIFEST, OLD_MANIFEST], "an asset", AssetError) as archive:
        try:
            manifest = parse_manifest(archive.manifest, path)
        except DamagedAssetError as error:
            raise AssetError(f"{path}: {error.what}") from error
        if manifest.kind != kind:
            raise UsageError(
                f"{path} holds a {manifest.kind}: use `research-cli {manifest.kind} import`"
            )

        def unpack(partial: Path, wanted: dict[str, FileEntry], on_bytes: OnBytes) -> None:
            archive.unpack(
                manifest.files,
                lambda name: partial / name if name in wanted else None,
                on_bytes,
            )

        return publish_filled(manifest, name, quiet, unpack)


def _from_own_files(path: Path, kind: Kind, name: str | None, quiet: bool) -> Asset:
    called = name or path.resolve().name.partition(".")[0]
    if reason := why_no_name(called):
        raise UsageError(
            f"{called[:80]!r} can't be a name: it {reason}. Choose another with --name."
        )
    below = [path] if path.is_file() else sorted(path.rglob("*"))
    top = path.parent if path.is_file() else path
    seen = [p for p in below if not any(x.startswith(".") for x in p.relative_to(top).parts)]
    if links := [p for p in seen if p.is_symlink()]:
        raise AssetError(
            f"{links[0]} is a link, and the file it points to may change. Put the file itself "
            "there. Nothing was imported."
        )
    sources = {p.relative_to(top).as_posix(): p for p in seen if p.is_file()}
    if not sources:
        raise UsageError(f"{path} contains no files")
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
    return publish_filled(manifest, called, quiet, _copying(sources))


def publish_filled(
    manifest: Manifest, name: str | None, quiet: bool, fill: Fill, resumes: bool = False
) -> Asset:
    """Publish an asset and name it; fill writes the files that are not here yet.

    name: by default the names in the manifest. resumes: whether files that arrived are kept after a
    failure, for fill to go on with. Raises UsageError when another asset has the name, AssetError
    for a pickled file or a full disk, StorageError.
    """
    if manifest.kind == "model" and (pickled := [f for f in manifest.files if is_pickle(f)]):
        raise AssetError(
            f"{pickled[0]} is a pickled file, which can run code when it is read. Nothing was "
            "imported."
        )
    folder = kind_folder(manifest.kind) / manifest.folder_name
    names = [name] if name else _plain_names(manifest)
    for called in names[:1]:
        refuse_name(folder, called)
    refuse_full_disk(folder, manifest.size, manifest.folder_name)
    with (
        publication(folder, quiet) as opened,
        BytesProgress(
            f"{'pull' if resumes else 'import'} {manifest.folder_name}", manifest.size, quiet
        ) as progress,
    ):
        wanted = {n: e for n, e in manifest.files.items() if n not in opened.present.files}
        try:
            fill(opened.partial, wanted, progress.update)
            asked_as = sorted({*manifest.asked_as, *([name] if name else [])})
            given = manifest.model_copy(update={"asked_as": asked_as})
            asset = Asset(folder, opened.publish(given, wanted))
        finally:
            if not resumes:
                shutil.rmtree(opened.partial, ignore_errors=True)
    for called in names:
        try:
            name_asset(asset, called)
        except UsageError:  # another asset here has that name
            if called == name:
                raise
    return asset


def _plain_names(manifest: Manifest) -> list[str]:
    """The names by which an asset was pulled on the machine it came from; else its id."""
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
