"""Find the assets folder, which holds everything large.

assets/datasets/   one folder for each revision of a dataset, with its .asset.json
assets/models/     the same for models
assets/outputs/    one folder for each paper, with one folder for each run in it
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
    """The workspace that contains this package, its environment or the working folder."""
    starts = (Path(__file__), Path(sys.prefix), Path.cwd())
    return next((found for start in starts if (found := find_workspace(start.resolve()))), None)


def get_assets_dir() -> Path:
    """The assets folder: RESEARCH_ASSETS if it is set, else `assets/` of this workspace.

    Raises AssetError when there is no workspace, or when RESEARCH_ASSETS can't be a folder.
    """
    if chosen := os.environ.get("RESEARCH_ASSETS"):
        return _chosen_folder(chosen)
    if workspace := this_workspace():
        return workspace / "assets"
    raise AssetError(
        "this is not in a uv workspace, so there is no assets folder. Set RESEARCH_ASSETS to the "
        "folder that should hold assets."
    )


def _chosen_folder(chosen: str) -> Path:
    """The folder that RESEARCH_ASSETS names, which need not exist yet."""
    try:
        folder = Path(chosen).expanduser().absolute()
        for place in (folder, *folder.parents):
            if place.is_dir():
                return folder
            if os.path.lexists(place):
                what = "a file" if place.exists() else "a link to nowhere"
                raise AssetError(
                    f"RESEARCH_ASSETS is {brief(chosen)}, but {brief(place)} is {what}. Set it to "
                    "a folder, which need not exist yet, or unset it."
                )
    except RuntimeError as error:  # the user in ~user is not known on this machine
        raise AssetError(f"RESEARCH_ASSETS is {chosen!r}: {error}. Set it to a folder.") from error
    except OSError as error:
        raise AssetError(
            f"RESEARCH_ASSETS is {brief(chosen)}: {reason_of(error)}. {advice_for(error)}".rstrip()
        ) from error
    return folder


def get_datasets_dir() -> Path:
    """The folder of datasets, with one folder for each revision."""
    return get_assets_dir() / "datasets"


def get_models_dir() -> Path:
    """The folder of models, with one folder for each revision."""
    return get_assets_dir() / "models"


def get_outputs_dir() -> Path:
    """The folder of recorded runs: a folder for each paper, with one for each run in it."""
    return get_assets_dir() / "outputs"


@lru_cache
def _is_workspace(pyproject: Path, modified: int) -> bool:
    """Whether a pyproject.toml is that of a uv workspace's root.

    modified: its modification time, which makes the cached answer expire; tables of runs ask often.
    """
    try:
        return "workspace" in table_of(read_toml(pyproject), "tool", "uv", path=pyproject)
    except UnreadableError:
        return False  # uv itself says what is wrong with it
