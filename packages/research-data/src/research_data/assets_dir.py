"""Find the assets folder, which holds everything large.

assets/datasets/   one folder a dataset and revision, with its .asset.json
assets/models/     likewise
assets/outputs/    one folder a paper, in it one a run
"""

import os
import sys
from functools import lru_cache
from pathlib import Path

from research_data.errors import AssetError, UnreadableError, advice_for, reason_of
from research_data.plain_files import read_toml, table_of
from research_data.shown import brief


def find_workspace(start: Path) -> Path | None:
    """The nearest folder at or above start whose pyproject.toml is a uv workspace's root."""
    for folder in (start, *start.parents):
        pyproject = folder / "pyproject.toml"
        if pyproject.is_file() and _is_workspace(pyproject, pyproject.stat().st_mtime_ns):
            return folder
    return None


def this_workspace() -> Path | None:
    """The workspace that this package, its environment or the working folder lies in."""
    starts = (Path(__file__), Path(sys.prefix), Path.cwd())
    return next((found for start in starts if (found := find_workspace(start.resolve()))), None)


def get_assets_dir() -> Path:
    """The assets folder: RESEARCH_ASSETS where set, else `assets/` of this workspace.

    Raises AssetError where there is none, or RESEARCH_ASSETS names no folder.
    """
    if chosen := os.environ.get("RESEARCH_ASSETS"):
        return _chosen_folder(chosen)
    if workspace := this_workspace():
        return workspace / "assets"
    raise AssetError(
        "there is no workspace here to hold assets. Set RESEARCH_ASSETS to the folder that should."
    )


def _chosen_folder(chosen: str) -> Path:
    """The folder that RESEARCH_ASSETS names; it need not be there yet."""
    try:
        folder = Path(chosen).expanduser().absolute()
        for place in (folder, *folder.parents):
            if place.is_dir():
                return folder
            if os.path.lexists(place):
                what = "a file" if place.exists() else "a link to nowhere"
                raise AssetError(
                    f"RESEARCH_ASSETS is {brief(chosen)}, and {brief(place)} is {what}. Set it to "
                    "a folder, there or to be made, or unset it."
                )
    except RuntimeError as error:  # ~somebody whom this machine doesn't know
        raise AssetError(f"RESEARCH_ASSETS is {chosen!r}: {error}. Name a folder.") from error
    except OSError as error:
        raise AssetError(
            f"RESEARCH_ASSETS is {brief(chosen)}: {reason_of(error)}. {advice_for(error)}".rstrip()
        ) from error
    return folder


def get_datasets_dir() -> Path:
    """Where datasets lie, one folder a revision."""
    return get_assets_dir() / "datasets"


def get_models_dir() -> Path:
    """Where models lie, one folder a revision."""
    return get_assets_dir() / "models"


def get_outputs_dir() -> Path:
    """Where runs are recorded: one folder a paper, in it one a run."""
    return get_assets_dir() / "outputs"


@lru_cache
def _is_workspace(pyproject: Path, modified: int) -> bool:
    """Whether it is the root of a uv workspace. modified: its time; a table of runs asks often."""
    try:
        return "workspace" in table_of(read_toml(pyproject), "tool", "uv", path=pyproject)
    except UnreadableError:
        return False  # uv itself says what is wrong with it
