"""Find the folder of a module and the code files in it."""

import importlib.metadata
import os
import sysconfig
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from research_train.experiment.members import installed_from

CACHES = frozenset({"__pycache__", ".ipynb_checkpoints"})
PYTHON = (".py", ".pyi")


def is_cache(path: Path) -> bool:
    """Whether Python or an editor derived this file or folder from other files."""
    return path.name in CACHES or path.suffix == ".pyc"


def files_in(folder: Path) -> list[Path]:
    """Every file in a folder except caches and hidden ones, sorted; links are followed."""
    found: list[Path] = []
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        real = current.resolve()
        if real in seen:  # a link to an enclosing folder, or a second link to one folder
            continue
        seen.add(real)
        for entry in os.scandir(current):
            path = Path(entry.path)
            if entry.name.startswith(".") or is_cache(path):
                continue
            if entry.is_dir():
                waiting.append(path)
            elif entry.is_file():
                found.append(path)
    return sorted(found)


def module_folder(name: str) -> Path | None:
    """The folder or file of a top-level module; None if there is none."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin and spec.has_location else None


def is_installed(name: str) -> bool:
    """Whether a top-level module was installed as files: then its version identifies its code."""
    with suppress(importlib.metadata.PackageNotFoundError, ValueError):
        return installed_from(importlib.metadata.distribution(name)) is None
    folder = module_folder(name)
    if folder is None:
        return True
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    parts = folder.resolve().parts
    return (
        any(folder.resolve().is_relative_to(each) for each in installed)
        or "site-packages" in parts
        or "dist-packages" in parts
    )
