"""Find the papers and projects that use an asset, by their links and pyproject.toml."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from research_data.assets.catalog import KINDS, matching_assets, split_name
from research_data.assets.manifest import Kind
from research_data.assets.needs import hub_needs
from research_data.assets_dir import this_workspace
from research_data.errors import UnreadableError, UsageError
from research_data.plain_files import read_toml, table_of


def users_of(folders: Iterable[Path]) -> dict[Path, list[str]]:
    """For each asset's folder, the papers and projects of the workspace that link or need it."""
    users: dict[Path, list[str]] = {folder: [] for folder in folders}
    workspace = this_workspace()
    if workspace is None:
        return users
    real = {folder.resolve(): folder for folder in users}
    for place in ("papers", "projects"):
        for pyproject in sorted((workspace / place).glob("*/pyproject.toml")):
            for folder in real.keys() & _used_by(pyproject):
                users[real[folder]].append(pyproject.parent.name)
    return users


def _used_by(pyproject: Path) -> set[Path]:
    """The asset folders that a member links to or names in its pyproject.toml."""
    data = pyproject.parent / "data"
    links = [data] if data.is_symlink() else list(data.glob("*"))
    folders = {link.resolve() for link in links if link.is_symlink()}
    for kind, names in _named_in(pyproject).items():
        for name in names:
            with suppress(UsageError):
                folders |= {a.folder.resolve() for a in matching_assets(kind, *split_name(name))}
    return folders


def _named_in(pyproject: Path) -> Mapping[Kind, list[str]]:
    """The datasets and models that a pyproject.toml names; `train` reports what is wrong in it."""
    named: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    with suppress(UnreadableError):
        research = table_of(read_toml(pyproject), "tool", "research", path=pyproject)
        for kind in KINDS:
            with suppress(UsageError):
                named[kind] += [need.name for need in hub_needs(kind, research)]
        named["dataset"] += table_of(research, "generated", path=pyproject)
        named["dataset"] += table_of(research, "files", path=pyproject)
    return named
