"""Find and mend members without a pyproject.toml, as a switch of branches leaves them.

uv takes every folder under papers/, projects/ and packages/ for a member, and every uv command
fails if one has no pyproject.toml. Folders that are hidden or hold only files that git ignores are
skipped.
"""

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from research_data import get_assets_dir
from research_data.errors import ResearchError, StorageError
from research_data.shown import first_few
from research_train.code.git import git_environment, run_git
from research_train.errors import CommandError
from research_train.experiment.workspace_members import KINDS
from research_train.processes.children import output_of

FOLDERS = tuple(f"{kind}s" for kind in KINDS)
MEND = ".venv/bin/research-cli paper check --mend"  # not `uv run`, which can't start then


@dataclass(frozen=True)
class Leftover:
    """A folder that stops uv.

    place: its path in the workspace, `papers/old`. files: paths in it of the files that git doesn't
    ignore. tracked: whether git has the pyproject.toml that was deleted.
    """

    workspace: Path
    place: str
    files: list[str]
    tracked: bool

    def __str__(self) -> str:
        what = f"holds {first_few(self.files, 1)} but" if self.files else "is a broken link and"
        if self.tracked:
            away = f"brings it back, as does `git checkout -- {self.place}/pyproject.toml`"
        else:
            away = f"moves it to {_away()}. Or remove the folder, or add a pyproject.toml"
        return (
            f"{self.place}: {what} has no pyproject.toml, which stops every uv command. "
            f"`{MEND}` {away}"
        )

    def is_called(self, name: str) -> bool:
        """Whether name means it: `old`, `paper-old`, `papers/old`."""
        kind, _, folder = self.place.partition("/")
        return name.rstrip("/") in (folder, f"{kind.removesuffix('s')}-{folder}", self.place)


def find_leftovers(workspace: Path) -> list[Leftover]:
    """The folders of a workspace that stop uv, by name."""
    listed = _listed_by_git(workspace)
    found = []
    for kind in FOLDERS:
        for folder in sorted((workspace / kind).glob("[!.]*")):
            dangling = folder.is_symlink() and not folder.exists()
            if (folder / "pyproject.toml").is_file() or not (folder.is_dir() or dangling):
                continue
            place = f"{kind}/{folder.name}"
            tracked = listed is not None and f"{place}/pyproject.toml" in listed
            files = [] if dangling else _files(folder, place, listed)
            if files or dangling:
                found.append(Leftover(workspace, place, files, tracked))
    return found


def refuse_leftovers(workspace: Path) -> None:
    """Raise ResearchError if a folder stops uv."""
    if found := find_leftovers(workspace):
        raise ResearchError("\n".join(map(str, found)))


def mend(leftover: Leftover) -> str:
    """Make uv run again; returns what was done. Deletes no file. Raises ResearchError."""
    folder = leftover.workspace / leftover.place
    if leftover.tracked:
        pyproject = f"{leftover.place}/pyproject.toml"
        command = ["git", "checkout", "--", pyproject]
        try:
            output_of(command, leftover.workspace, git_environment())
        except CommandError as error:
            problem = f"`{' '.join(command)}` failed: {error.said or error}"
            raise ResearchError(f"{folder}: {problem}") from error
        return f"{pyproject}: was deleted; restored from git"
    moment = f"{datetime.now():%Y%m%d-%H%M%S}"
    target = _away() / f"{leftover.place.replace('/', '-')}-{moment}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
    except OSError as error:
        raise StorageError(target, error) from error
    return f"{leftover.place}: moved to {target}"


def _away() -> Path:
    return get_assets_dir() / "leftovers"


def _listed_by_git(workspace: Path) -> set[str] | None:
    """Files under FOLDERS, deleted or not, that git tracks or doesn't ignore; None without git."""
    listing = run_git(
        workspace, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *FOLDERS
    )
    if listing is None:  # no git, or no repository: a zip
        return None
    return {os.fsdecode(name) for name in listing.split(b"\0") if name}


def _files(folder: Path, place: str, listed: set[str] | None) -> list[str]:
    if listed is None:
        return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if not f.is_dir())
    inside = [name.removeprefix(f"{place}/") for name in listed if name.startswith(f"{place}/")]
    return sorted(name or ".git" for name in inside if os.path.lexists(folder / name))
