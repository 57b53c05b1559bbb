"""Ask git about a folder: which files it tracks, which commit is checked out.

Inside a hook git sets GIT_DIR, GIT_INDEX_FILE and the like, and every git started there would
answer about that repository, whatever folder it is asked in. So ours run without them.
"""

import os
from contextlib import suppress
from pathlib import Path

from research_train.errors import CommandError
from research_train.processes.children import output_of

# What `git rev-parse --local-env-vars` names, configuration apart (it may hold safe.directory).
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
    """Our environment without what points git to one repository."""
    return {name: value for name, value in os.environ.items() if name not in OF_ONE_REPOSITORY}


def run_git(folder: Path, *words: str) -> bytes | None:
    """What a git command prints, asked in folder; None where it fails or there is no git."""
    with suppress(CommandError):
        return output_of(["git", *words], folder, git_environment())
    return None


def listed_files(folder: Path, *, tracked_only: bool = False) -> set[Path] | None:
    """The files in folder that git tracks, and those it could unless tracked_only.

    Names needn't be UTF-8. None where git knows nothing of the folder.
    """
    others = () if tracked_only else ("--others", "--exclude-standard")
    listing = run_git(folder, "ls-files", "-z", "--cached", *others)
    if listing is None:
        return None
    return {folder / os.fsdecode(name) for name in listing.split(b"\0") if name}
