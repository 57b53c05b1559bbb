"""The layout of run folders on disk: where they are and what their files are called.

assets/outputs/<paper>/<run-id>/          a run
assets/outputs/.sources/<sha256>.tar.gz   the code of all runs, by its sha256
assets/outputs/.reruns/<sha256>/          such code unpacked, with its environment; may be removed
assets/outputs/.known-runs                what tables choose runs by (history/); may be removed
assets/compiled/<processor>/              kernels of compiled steps; may be removed
"""

import hashlib
import platform
import re
from pathlib import Path

from research_data import get_assets_dir, get_outputs_dir

RECORD = "run.json"
CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
MEDIA = "media"
MEDIA_INDEX = "media.jsonl"
CHECKPOINTS = "checkpoints"
SOURCES = ".sources"
RERUNS = ".reruns"
COMPILED = "compiled"
COMPILED_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # where torch reads which folder that is


def run_folders(paper: str) -> list[Path]:
    """Every run folder of a paper, oldest first."""
    try:
        folders = sorted((get_outputs_dir() / paper).iterdir(), key=lambda folder: folder.name)
    except OSError:  # no run yet, or a file where the folder would be
        return []
    return [folder for folder in folders if folder.name[0] != "." and _has_record(folder)]


def _has_record(folder: Path) -> bool:
    try:
        return (folder / RECORD).exists()
    except PermissionError:  # another user's
        return False


def all_run_folders() -> list[Path]:
    """Every run folder of every paper, oldest first in each."""
    papers = sorted(path for path in get_outputs_dir().glob("[!.]*") if path.is_dir())
    return [folder for paper in papers for folder in run_folders(paper.name)]


def run_label(name: str) -> str:
    """A user's name for a run in the form that its id contains: safe as a part of a folder name."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.")[:60]


def code_archive(source: str) -> Path:
    """Where the code of a run is archived; source: as its record names it."""
    return get_outputs_dir() / SOURCES / f"{source}.tar.gz"


def compiled_folder() -> Path:
    """Where torch keeps compiled kernels; those of other processors lie elsewhere."""
    return get_assets_dir() / COMPILED / _processor()


def _processor() -> str:
    """Twelve digits that differ for processors of other names or instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        lines = [platform.machine(), platform.processor()]
    kind = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU"))}
    return hashlib.sha256("\n".join(sorted(kind or lines[:2])).encode()).hexdigest()[:12]
