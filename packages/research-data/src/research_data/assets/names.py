"""Give an asset a name: a link beside it, which no other asset has."""

import os
from pathlib import Path

from research_data.assets.catalog import Asset
from research_data.durable import replace_link
from research_data.errors import UsageError


def refuse_name(folder: Path, name: str) -> None:
    """Refuse a name for an asset's folder, there or not, that means something else already.

    Raises UsageError: it is another asset's, or differs from another's only by case.
    """
    link = folder.with_name(name.replace("/", "--"))
    if not folder.parent.is_dir():
        return
    for other in folder.parent.iterdir():
        shown = other.name.rpartition("@")[0] or other.name
        if shown != link.name and shown.casefold() == link.name.casefold():
            raise UsageError(
                f"{name!r} and {shown!r}, which is here, differ only by case: they would be one "
                f"on some machines. Use {shown!r}, or another --name."
            )
    if os.path.lexists(link) and not link.is_symlink():
        raise UsageError(f"{link} is a file of somebody's, where the name {name!r} belongs")
    held = link.readlink().name if link.is_symlink() else ""
    if held and held.rpartition("@")[0] != folder.name.rpartition("@")[0]:
        raise UsageError(
            f"{name!r} is the name of {held}. Use another --name, or `remove {name}` first."
        )


def name_asset(asset: Asset, name: str) -> None:
    """Link name to an asset, beside it. Raises as refuse_name does, StorageError."""
    refuse_name(asset.folder, name)
    link = asset.folder.with_name(name.replace("/", "--"))
    if not link.is_symlink() or link.readlink() != Path(asset.folder.name):
        replace_link(link, asset.folder.name)
