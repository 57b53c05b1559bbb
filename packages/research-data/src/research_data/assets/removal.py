"""Remove an asset that no paper uses, and what interrupted pulls left."""

import shutil
from pathlib import Path

from research_data.assets.catalog import (
    Asset,
    BrokenAsset,
    disk_size,
    entries_of,
    links_to,
    list_assets,
)
from research_data.assets.lock import lock_file, locked_folder
from research_data.assets.manifest import Kind
from research_data.assets.users import users_of
from research_data.durable import replace_link
from research_data.errors import StorageError, UsageError
from research_data.lock import try_lock


def remove_asset(asset: Asset | BrokenAsset, force: bool = False) -> int:
    """Remove an asset, the files derived from it and its names; returns the bytes freed.

    A name moves to the newest revision that is left, if there is one. Raises UsageError when a
    paper links or needs the asset, unless force; StorageError.
    """
    refuse_used(asset, force)
    with locked_folder(asset.folder):
        freed = disk_size(asset.folder) + disk_size(asset.derived)
        others = [
            other
            for other in list_assets("model" if asset.folder.parent.name == "models" else "dataset")
            if isinstance(other, Asset)
            and other.folder != asset.folder
            and other.folder.name.rpartition("@")[0] == asset.folder.name.rpartition("@")[0]
        ]
        newest = max(others, key=lambda other: other.manifest.pulled_at, default=None)
        try:
            for link in links_to(asset.folder):
                if newest:
                    replace_link(link, newest.folder.name)
                else:
                    link.unlink()
        except OSError as error:
            raise StorageError(asset.folder, error) from error
        for folder in (asset.derived, asset.folder):
            remove_folder(folder)
    return freed


def refuse_used(asset: Asset | BrokenAsset, force: bool = False) -> None:
    """Raise UsageError when a paper links or needs an asset, unless force."""
    if (users := users_of([asset.folder])[asset.folder]) and not force:
        raise UsageError(
            f"{asset.folder.name} is used by {', '.join(users)}. --force removes it anyway; "
            "`train` then fetches or makes it again."
        )


def remove_derived(asset: Asset | BrokenAsset) -> int:
    """Remove an asset's derived files, made again when needed; returns the bytes freed."""
    freed = disk_size(asset.derived)
    remove_folder(asset.derived)
    return freed


def leftovers(kind: Kind) -> list[Path]:
    """The folders that stopped pulls, imports and removals left; only a pull continues with one."""
    hidden = [path for path in entries_of(kind) if path.name.startswith(".") and "@" in path.name]
    return [path for path in hidden if path.name.endswith((".partial", ".removed"))]


def remove_leftovers(kind: Kind) -> int:
    """Remove the leftovers that no process is using; returns the bytes freed."""
    freed = 0
    for path in leftovers(kind):
        folder = path.with_name(path.name[1:].rpartition(".")[0])
        if lock := try_lock(lock_file(folder)):
            with lock:
                freed += disk_size(path)
                shutil.rmtree(path, ignore_errors=True)
    return freed


def remove_folder(folder: Path) -> None:
    """Remove a folder: hide it in one step, so that a kill leaves no half asset, then delete it."""
    going = folder.with_name(f".{folder.name}.removed")
    try:
        if going.exists():
            shutil.rmtree(going)
        if folder.exists():
            folder.rename(going)
            shutil.rmtree(going)
    except OSError as error:
        raise StorageError(folder, error) from error
