"""Links from a paper's or project's folder to the assets it uses.

papers/squad/data -> ../../assets/datasets/rajpurkar--squad@7b6d24c440a3      one: `data` itself
papers/glue/data/{sst2,bert} -> ...                                           several: a folder
"""

import os
from collections.abc import Mapping
from pathlib import Path

from research_data.assets import find_workspace, get_assets_dir
from research_data.durable import replace_link
from research_data.errors import AssetError, StorageError, UsageError

DATA = "data"


def link_assets(member: Path, assets: Mapping[str, Path]) -> list[Path]:
    """Have a member's `data` link to exactly these assets, by name; returns the links.

    Relative links, absolute where the assets lie outside the member's workspace. Raises AssetError
    when something that is no link is in the way, StorageError where no link can be made.
    """
    data = member / DATA
    if len(assets) == 1:
        links = {data: next(iter(assets.values()))}
    else:
        links = {data / name.replace("/", "--"): folder for name, folder in assets.items()}
    if len(assets) > 1 and data.is_symlink():
        data.unlink()
    elif len(assets) == 1 and _only_links(data):
        for link in data.iterdir():
            link.unlink()
        data.rmdir()
    for link, target in links.items():
        _refuse_in_the_way(link)
        if link.is_symlink() and link.resolve() == target.resolve():
            continue
        try:
            link.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(link, error) from error
        try:
            replace_link(link, _target(link, target, member))
        except StorageError as error:
            raise _without_links(error, target) from error
    return sorted(links)


def add_link(member: Path, name: str, folder: Path) -> list[Path]:
    """Link one more asset into a member's `data`; returns all links. Raises as link_assets does."""
    return link_assets(member, {**linked_assets(member), name: folder})


def unlink_assets(member: Path, name: str | None = None) -> list[Path]:
    """Remove a member's links to assets, or the one of that name; returns what was removed.

    Raises UsageError when there is none such.
    """
    data = member / DATA
    found = [data] if data.is_symlink() else [path for path in data.glob("*") if path.is_symlink()]
    if name is not None:
        key = name.replace("/", "--")
        found = [
            link
            for link in found
            if link.name == key
            or link.readlink().name.split("@")[0] in (key, name)
            or _names_same(link, key)
        ]
    if not found:
        raise UsageError(f"{data} links to no {name or 'asset'}")
    for link in found:
        link.unlink()
    if data.is_dir() and not data.is_symlink() and not any(data.iterdir()):
        data.rmdir()
    return found


def linked_assets(member: Path) -> dict[str, Path]:
    """The assets that a member's `data` links to, by name; also those that are gone."""
    data = member / DATA
    if data.is_symlink():
        target = data.readlink()
        return {target.name.split("@")[0]: _absolute(data, target)}
    links = sorted(path for path in data.glob("*") if path.is_symlink())
    return {link.name: _absolute(link, link.readlink()) for link in links}


def _target(link: Path, target: Path, member: Path) -> Path | str:
    workspace = find_workspace(member)
    if workspace is not None and get_assets_dir().is_relative_to(workspace):
        return os.path.relpath(target, link.parent)
    return target


def _absolute(link: Path, target: Path) -> Path:
    return target if target.is_absolute() else Path(os.path.normpath(link.parent / target))


def _names_same(link: Path, key: str) -> bool:
    """Whether a link goes where the name beside its asset goes."""
    target = _absolute(link, link.readlink())
    return (target.parent / key).is_symlink() and (target.parent / key).readlink() == Path(
        target.name
    )


def _only_links(data: Path) -> bool:
    real = data.is_dir() and not data.is_symlink()
    return real and all(path.is_symlink() for path in data.iterdir())


def _refuse_in_the_way(link: Path) -> None:
    for path in (link.parent, link) if link.parent.name == DATA else (link,):
        if path == link and path.exists() and not path.is_symlink():
            raise AssetError(
                f"{path} is a real folder, where a link to the data belongs. Move it away: its "
                "contents are yours, and nothing here removes them."
            )


def _without_links(error: StorageError, target: Path) -> AssetError:
    return AssetError(
        f"{error} If this file system has no symbolic links: nothing needs them. Training finds "
        f"its data without (run.asset), and the data is at {target}."
    )
