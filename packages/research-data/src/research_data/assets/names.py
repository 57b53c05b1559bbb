"""Give an asset a name: a link beside it, which no other asset has."""

import os
from pathlib import Path

from research_data.assets.catalog import Asset
from research_data.durable import replace_link
from research_data.errors import UsageError


def refuse_name(folder: Path, name: str) -> None:
    """Refuse a name for an asset's folder, which need not exist, that is already taken.

    Raises UsageError when another asset has the name, or one that differs only by case.
    """
    link = folder.with_name(name.replace("/", "--"))
    if not folder.parent.is_dir():
        return
    for other in folder.parent.iterdir():
        shown = other.name.rpartition("@")[0] or other.name
        if shown != link.name and shown.casefold() == link.name.casefold():
            raise UsageError(
                f"{name!r} and the existing name {shown!r} differ only by case: on some machines "
                f"they would be the same. Use {shown!r}, or another --name."
            )
    if os.path.lexists(link) and not link.is_symlink():
        raise UsageError(
            f"{link} is a file or folder that isn't ours, where the link for the name {name!r} "
            "belongs. Move it away, or use another --name."
        )
    held = link.readlink().name if link.is_symlink() else ""
    if held and held.rpartition("@")[0] != folder.name.rpartition("@")[0]:
        raise UsageError(
            f"{name!r} is the name of {held}. Use another --name, or `remove {name}` first."
        )


def name_asset(asset: Asset, name: str) -> None:
    """Name an asset by a link beside it. Raises like refuse_name; StorageError."""
    refuse_name(asset.folder, name)
    if not is_named(asset, name):
        replace_link(_link(asset, name), asset.folder.name)


def is_named(asset: Asset, name: str) -> bool:
    """Whether the asset has this name already."""
    link = _link(asset, name)
    return link.is_symlink() and link.readlink() == Path(asset.folder.name)


def _link(asset: Asset, name: str) -> Path:
    return asset.folder.with_name(name.replace("/", "--"))
