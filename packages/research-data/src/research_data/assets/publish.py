"""Publish an asset: fill a hidden folder under the asset's lock, then move it into place.

Pulled and imported assets are all written this way. The manifest is written last, so that every
file it lists is complete.

The hidden folder, `.NAME@REVISION.partial`, survives a kill: the next pull continues with it.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from research_data.assets.lock import locked_folder
from research_data.assets.manifest import FileEntry, Manifest, read_own_manifest
from research_data.assets.verify import (
    Stamps,
    find_damage,
    take_stamps,
    touched_files,
    write_stamps,
)
from research_data.durable import fsync_file
from research_data.errors import AssetError, DamagedAssetError, StorageError
from research_data.shown import first_few, say, shown_size


@dataclass(frozen=True)
class Present:
    """The content of an asset's folder: its manifest, the intact files and their stamps."""

    manifest: Manifest | None
    files: Mapping[str, FileEntry]
    stamps: Stamps

    @property
    def damaged(self) -> set[str]:
        """The files that its manifest lists but that are missing or damaged."""
        return set(self.manifest.files) - set(self.files) if self.manifest else set()


class Publication:
    """An asset being filled by the one process that holds its lock.

    present: what its folder holds already. partial: the hidden folder for the missing files.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.partial = partial_folder(folder)
        self.present = look_at(folder)
        self.stamps: Stamps = dict(self.present.stamps)

    def publish(self, manifest: Manifest, fetched: Mapping[str, FileEntry]) -> Manifest:
        """Move the fetched files from partial into the asset; returns its merged manifest.

        Raises AssetError when a file of the earlier manifest is damaged and was not fetched.
        """
        files = dict(sorted({**self.present.files, **fetched}.items()))
        if lost := self.present.damaged - files.keys():
            raise AssetError(
                f"{self.folder}: {first_few(sorted(lost))} would be lost: damaged or missing, and "
                "not fetched again"
            )
        merged = merge_manifests(manifest, self.present.manifest, files)
        for path in sorted(self.partial.rglob("*"), reverse=True):  # a killed process left some
            if path.is_dir():
                with suppress(OSError):  # it is not empty
                    path.rmdir()
            elif path.relative_to(self.partial).as_posix() not in fetched:
                path.unlink()
        self.stamps.update(take_stamps(self.partial, fetched))
        for name in fetched:
            fsync_file((self.partial / name).parent)
        if self.folder.exists():
            for name in fetched:
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self.partial / name).replace(self.folder / name)
                fsync_file((self.folder / name).parent)
            merged.write(self.folder)
            shutil.rmtree(self.partial)
        else:
            merged.write(self.partial)
            self.partial.rename(self.folder)
        fsync_file(self.folder.parent)
        write_stamps(self.folder, self.stamps)
        return merged


@contextmanager
def publication(folder: Path, quiet: bool = False) -> Iterator[Publication]:
    """Hold the lock of an asset's folder and make its hidden folder. Raises StorageError.

    After a failure, files that arrived are kept and a line says so; an empty folder is removed.
    """
    with locked_folder(folder, quiet):
        opened = Publication(folder)
        try:
            opened.partial.mkdir(exist_ok=True)
            yield opened
        except OSError as error:
            raise StorageError(folder, error) from error
        finally:
            _leave(opened.partial, folder, quiet)


def _leave(partial: Path, folder: Path, quiet: bool) -> None:
    """Remove the hidden folder if a failure left it empty; otherwise say that it is kept."""
    sizes = [path.stat().st_size for path in partial.rglob("*") if path.is_file()]
    if not partial.exists():
        return
    if not sum(sizes):
        shutil.rmtree(partial, ignore_errors=True)
    elif not quiet:
        say(
            f"{folder.name}: the {shown_size(sum(sizes))} that arrived are kept for the next try; "
            f"`research-cli {folder.parent.name.removesuffix('s')} remove --leftovers` removes them"
        )


def partial_folder(folder: Path) -> Path:
    """The hidden folder in which an asset is filled."""
    return folder.with_name(f".{folder.name}.partial")


def look_at(folder: Path) -> Present:
    """The present content of an asset's folder; hashes the files changed since the last hashing."""
    try:
        manifest = read_own_manifest(folder)
    except DamagedAssetError:
        return Present(None, {}, {})
    stamps = take_stamps(folder, manifest.files)  # before hashing: see verify_asset
    damage = find_damage(folder, manifest, touched_files(folder, manifest))
    intact = {name: entry for name, entry in manifest.files.items() if name not in damage}
    return Present(manifest, intact, {name: stamps[name] for name in intact})


def merge_manifests(
    new: Manifest, before: Manifest | None, files: Mapping[str, FileEntry]
) -> Manifest:
    """The manifest of a folder that holds the files of both: parts of a dataset add up."""
    if before is None:
        return new.model_copy(update={"files": dict(files)})
    changes: dict[str, object] = {
        "files": dict(files),
        "include": sorted({*new.include, *before.include}),
        "asked_as": sorted({*new.asked_as, *before.asked_as}),
    }
    if new.configs and before.configs:
        names = sorted({*new.configs, *before.configs})
        changes["configs"] = {
            name: {**before.configs.get(name, {}), **new.configs.get(name, {})} for name in names
        }
        changes["whole_configs"] = sorted({*new.whole_configs, *before.whole_configs})
        changes["whole_splits"] = sorted({*new.whole_splits, *before.whole_splits})
    else:  # one of them lists the whole dataset
        changes |= {"configs": {}, "whole_configs": [], "whole_splits": []}
    return new.model_copy(update=changes)


def refuse_full_disk(folder: Path, needed: int, what: str) -> None:
    """Raise AssetError when the disk has no room for `needed` more bytes."""
    place = folder.parent
    while not place.exists():
        place = place.parent
    here = sum(p.stat().st_size for p in partial_folder(folder).rglob("*") if p.is_file())
    free = shutil.disk_usage(place).free
    if needed - here > free:
        raise AssetError(
            f"{what} needs {shown_size(needed)}, but {place} has {shown_size(free)} left. Free "
            "some room, or set RESEARCH_ASSETS to a larger disk. Nothing was fetched."
        )
