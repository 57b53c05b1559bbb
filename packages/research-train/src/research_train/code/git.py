"""Ask git about a folder: which files it tracks, which commit is checked out.

Inside a hook, git sets GIT_DIR, GIT_INDEX_FILE and the like. With these, every git command started
there would answer about the hook's repository, in whatever folder it runs. So they are removed from
the environment of the git commands started here.
"""

import os
from contextlib import suppress
from pathlib import Path

from research_train.errors import CommandError
from research_train.processes.children import output_of

# The variables that `git rev-parse --local-env-vars` lists, except those with configuration, which
# may set safe.directory.
OF_ONE_REPOSITORY = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)


def git_environment() -> dict[str, str]:
    """Our environment without the variables that bind git to one repository."""
    return {name: value for name, value in os.environ.items() if name not in OF_ONE_REPOSITORY}


def run_git(folder: Path, *words: str) -> bytes | None:
    """The output of a git command that runs in folder; None if it fails or git isn't installed."""
    with suppress(CommandError):
        return output_of(["git", *words], folder, git_environment())
    return None


def listed_files(folder: Path, *, tracked_only: bool = False) -> set[Path] | None:
    """The files in folder that git tracks and, unless tracked_only, those it doesn't ignore.

    Names needn't be UTF-8. None if the folder is in no repository.
    """
    others = () if tracked_only else ("--others", "--exclude-standard")
    listing = run_git(folder, "ls-files", "-z", "--cached", *others)
    if listing is None:
        return None
    return {folder / os.fsdecode(name) for name in listing.split(b"\0") if name}
