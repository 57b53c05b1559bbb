"""Notice that code or configs were edited while a sweep is running.

A worker archives and hashes the code once for all of its runs; a run of an edited file would be
recorded as one of the code before.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from research_train.experiment.members import Member
from research_train.versions.requirements import internal_packages, workspace_packages

Stamp = dict[str, tuple[int, int]]  # file -> time of its last change in ns, size

LEFT_OUT = frozenset({"__pycache__", "data", "tests", "docs", "benchmarks", "node_modules"})
TEXTS = (
    ".md",
    ".json",
    ".png",
    ".svg",
    "claims.yaml",
)  # beside config.yaml: no training reads them


def code_stamp(member: Member) -> Stamp:
    """When each file last changed that a run of the member may read as code or config."""
    internal = internal_packages(member.workspace)
    folders = [internal[name] / "src" for name in workspace_packages(member)]
    files = [member.workspace / "uv.lock"]
    files += [path for path in member.folder.iterdir() if path.is_file()]
    files = [path for path in files if not path.name.endswith(TEXTS)]
    folders += [path for path in member.folder.iterdir() if path.is_dir()]
    found = {}
    for path in [*map(str, files), *(file for each in folders for file in _files(each))]:
        try:
            status = os.stat(path)  # noqa: PTH116 - hundreds of them, before each run
        except FileNotFoundError:
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found


def changed_file(before: Mapping[str, object], now: Mapping[str, object]) -> str | None:
    """The first file that differs between two stamps; None if all are as they were."""
    return next((f for f in [*before, *now] if before.get(f) != now.get(f)), None)


def _files(folder: Path) -> Iterator[str]:
    if folder.name in LEFT_OUT or folder.name.startswith(".") or folder.is_symlink():
        return
    for at, folders, names in os.walk(folder):
        folders[:] = [each for each in folders if each not in LEFT_OUT and each[0] != "."]
        yield from (f"{at}/{name}" for name in names if not name.endswith(".pyc"))
