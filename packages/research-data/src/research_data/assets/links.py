"""Links from a paper's or project's folder to the assets it uses.

papers/squad/data -> ../../assets/datasets/rajpurkar--squad@7b6d24c440a3      one: `data` itself
papers/glue/data/{sst2,bert} -> ...                                           several: a folder

Anything else in their place is a person's own: it is never replaced and never removed.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from research_data.assets_dir import find_workspace, get_assets_dir
from research_data.durable import replace_link
from research_data.errors import AssetError, StorageError, UsageError

DATA = "data"


def link_assets(member: Path, assets: Mapping[str, Path]) -> list[Path]:
    """Make a member's `data` link to exactly these assets, by name; returns the links.

    The links are relative, or absolute if the assets are outside the member's workspace. Raises
    AssetError when something other than a link into assets is in the way, or when no link can be
    made.
    """
    data = member / DATA
    if len(assets) == 1:
        links = {data: next(iter(assets.values()))}
    else:
        links = {data / name.replace("/", "--"): folder for name, folder in assets.items()}
    _refuse_in_the_way(data, links)
    try:
        for link in _our_links(data):
            if link not in links:
                link.unlink()
        if data in links and data.is_dir() and not data.is_symlink():
            data.rmdir()  # it held only our links
        for link, target in links.items():
            link.parent.mkdir(exist_ok=True)
            if not link.is_symlink() or link.resolve() != target.resolve():
                replace_link(link, _target(link, target, member))
    except (OSError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise AssetError(
            f"{data} can't be made a link ({reason}). Training needs no link (run.asset finds the "
            f"data), so a file system without symbolic links will do. The data is at "
            f"{', '.join(map(str, links.values()))}."
        ) from error
    return sorted(links)


def add_link(member: Path, name: str, folder: Path) -> list[Path]:
    """Link one more asset into a member's `data`; returns all links. Raises like link_assets."""
    others = {n: f for n, f in linked_assets(member).items() if f.resolve() != folder.resolve()}
    return link_assets(member, {**others, name: folder})


def unlink_assets(member: Path, name: str | None = None) -> list[Path]:
    """Remove a member's links to assets, or the one of that name; returns the removed links.

    Raises UsageError when there is no such link, StorageError.
    """
    data = member / DATA
    key = (name or "").replace("/", "--")
    found = [link for link in _our_links(data) if name is None or _is_called(link, key)]
    if not found:
        raise UsageError(f"{data} links to no {name or 'asset'}")
    try:
        for link in found:
            link.unlink()
        if data.is_dir() and not data.is_symlink() and not any(data.iterdir()):
            data.rmdir()
    except OSError as error:
        raise StorageError(data, error) from error
    return found


def linked_assets(member: Path) -> dict[str, Path]:
    """The assets that a member's `data` links to, by name, including those no longer there."""
    data = member / DATA
    links = _our_links(data)
    if links == [data]:
        return {_name_of(_target_of(data)): _target_of(data)}
    return {link.name: _target_of(link) for link in links}


def _our_links(data: Path) -> list[Path]:
    """The links into assets that `data` is or holds."""
    links = [data] if data.is_symlink() else sorted(p for p in data.glob("*") if p.is_symlink())
    return [link for link in links if _is_asset(_target_of(link))]


def _is_asset(target: Path) -> bool:
    """Whether a path looks like an asset's folder, in this assets folder or an earlier one."""
    return "@" in target.name and target.parent.name in ("datasets", "models")


def _refuse_in_the_way(data: Path, links: Mapping[Path, Path]) -> None:
    # In this order: a training that starts beside this one may be making the same links.
    there = [link for link in links if os.path.lexists(link)]
    ours = set(_our_links(data))
    in_the_way = [link for link in there if link not in ours]
    if data in links and in_the_way and data.is_dir() and not data.is_symlink():
        if ours and ours == set(data.iterdir()):
            in_the_way = []  # a folder with only our links may become a link
    elif links and data not in links and data not in ours and os.path.lexists(data):
        folder = data.is_dir() and not data.is_symlink()
        in_the_way = in_the_way if folder else [data]
    if in_the_way:
        kind = "link of your own" if in_the_way[0].is_symlink() else "real folder or file"
        raise AssetError(
            f"{in_the_way[0]} is a {kind}, where a link to the data belongs. Move it away; it is "
            "yours, so it is never removed for you."
        )


def _target(link: Path, target: Path, member: Path) -> Path | str:
    workspace = find_workspace(member)
    if workspace is not None and get_assets_dir().is_relative_to(workspace):
        return os.path.relpath(target, link.parent)
    return target


def _target_of(link: Path) -> Path:
    target = link.readlink()
    return target if target.is_absolute() else Path(os.path.normpath(link.parent / target))


def _is_called(link: Path, key: str) -> bool:
    """Whether a link or its asset has that name, or a link of that name beside the asset does."""
    target = _target_of(link)
    beside = target.with_name(key) if key else target
    linked = beside.is_symlink() and beside.readlink() == Path(target.name)
    return key in (link.name, target.name, target.name.rpartition("@")[0]) or linked


def _name_of(folder: Path) -> str:
    """An asset's name here: that of a link beside it, else its id."""
    stem = folder.name.rpartition("@")[0]
    if folder.parent.is_dir():
        beside = sorted(p for p in folder.parent.iterdir() if p.is_symlink())
        names = [p.name for p in beside if p.readlink() == Path(folder.name)]
        return next((name for name in names if name != stem), stem)
    return stem
