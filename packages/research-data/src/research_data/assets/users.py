"""Which papers and projects use an asset: they link it, or name it in their pyproject."""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from research_data.assets.catalog import KINDS, matching_assets, split_name
from research_data.assets.manifest import Kind
from research_data.assets_dir import this_workspace
from research_data.errors import UsageError


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
    """The asset folders that a member links, or names in its pyproject."""
    data = pyproject.parent / "data"
    links = [data] if data.is_symlink() else list(data.glob("*"))
    folders = {link.resolve() for link in links if link.is_symlink()}
    for kind, needs in _needs_of(pyproject).items():
        for need in needs:
            with suppress(UsageError):
                folders |= {a.folder.resolve() for a in matching_assets(kind, *split_name(need))}
    return folders


def _needs_of(pyproject: Path) -> Mapping[Kind, list[str]]:
    """The datasets and models that a member's pyproject names; what is wrong there `train` says."""
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
        research = tool.get("research", {})
        needs: dict[Kind, list[str]] = {"dataset": list(research.get("generated", {})), "model": []}
        for kind in KINDS:
            for need in research.get(f"{kind}s", []):
                needs[kind].append(str(need["name"] if isinstance(need, dict) else need))
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return {}
    return needs
