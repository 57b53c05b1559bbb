"""Publish an asset: fill a hidden folder under the asset's lock, then move it into place.

This is the one way into assets. The manifest comes last, so that a listed file is complete.

The hidden folder, `.NAME@REVISION.partial`, survives a kill: the next to come goes on with it.
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
    """What an asset's folder holds: its manifest, the files that are intact, and their stamps."""

    manifest: Manifest | None
    files: Mapping[str, FileEntry]
    stamps: Stamps

    @property
    def damaged(self) -> set[str]:
        """The files that its manifest lists and that are not intact."""
        return set(self.manifest.files) - set(self.files) if self.manifest else set()


class Publication:
    """An asset being filled, by the one process that holds its lock.

    present: what is there already. partial: the hidden folder for the rest.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.partial = partial_folder(folder)
        self.present = look_at(folder)
        self.stamps: Stamps = dict(self.present.stamps)

    def publish(self, manifest: Manifest, fetched: Mapping[str, FileEntry]) -> Manifest:
        """Put what was fetched into partial in its place; returns the manifest of the whole.

        A file that is in neither is not listed: raises AssetError when an earlier manifest had it.
        """
        files = dict(sorted({**self.present.files, **fetched}.items()))
        if lost := self.present.damaged - files.keys():
            raise AssetError(f"{self.folder}: {first_few(sorted(lost))} would be lost")
        merged = merge_manifests(manifest, self.present.manifest, files)
        for path in sorted(self.partial.rglob("*"), reverse=True):  # left by one that was killed
            if path.is_dir():
                with suppress(OSError):  # it has files in it
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
    """Hold the lock of an asset's folder and make room to fill it. Raises StorageError.

    What arrived before it failed is kept and said; where nothing did, nothing is left.
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
    """Remove what a failure left where it is of no use to anybody; say the rest."""
    sizes = [path.stat().st_size for path in partial.rglob("*") if path.is_file()]
    if not partial.exists():
        return
    if not sum(sizes):
        shutil.rmtree(partial, ignore_errors=True)
    elif not quiet:
        say(
            f"{folder.name}: {shown_size(sum(sizes))} that arrived are kept for the next try; "
            f"`research-cli {folder.parent.name.removesuffix('s')} remove --leftovers` removes them"
        )


def partial_folder(folder: Path) -> Path:
    """Where an asset is filled."""
    return folder.with_name(f".{folder.name}.partial")


def look_at(folder: Path) -> Present:
    """What an asset's folder holds now; hashes what was touched since it was last hashed."""
    try:
        manifest = read_own_manifest(folder)
    except DamagedAssetError:
        return Present(None, {}, {})
    stamps = take_stamps(folder, manifest.files)  # before: what changes meanwhile is hashed again
    damage = find_damage(folder, manifest, touched_files(folder, manifest))
    intact = {name: entry for name, entry in manifest.files.items() if name not in damage}
    return Present(manifest, intact, {name: stamps[name] for name in intact})


def merge_manifests(
    new: Manifest, before: Manifest | None, files: Mapping[str, FileEntry]
) -> Manifest:
    """The manifest of a folder that holds what both list: parts of a dataset add up."""
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
    else:  # one of them has all of it
        changes |= {"configs": {}, "whole_configs": [], "whole_splits": []}
    return new.model_copy(update=changes)


def refuse_full_disk(folder: Path, needed: int, what: str) -> None:
    """Raise AssetError when the disk has no room for so many bytes more."""
    place = folder.parent
    while not place.exists():
        place = place.parent
    here = sum(p.stat().st_size for p in partial_folder(folder).rglob("*") if p.is_file())
    free = shutil.disk_usage(place).free
    if needed - here > free:
        raise AssetError(
            f"{what} needs {shown_size(needed)}, {place} has {shown_size(free)} left. Free some "
            "room, or set RESEARCH_ASSETS to a larger disk. Nothing was fetched."
        )
