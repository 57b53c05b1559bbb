"""Ask git about a folder: which files it tracks, which commit is checked out.

Inside a hook, git sets GIT_DIR, GIT_INDEX_FILE and the like. With these, every git command started
there would answer about the hook's repository, in whatever folder it runs. So they are removed from
the environment of the git commands started here.
"""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

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


def run_git(folder: Path, *words: str, given: bytes = b"") -> bytes | None:
    """The output of a git command that runs in folder; None if it fails or git isn't installed.

    given: its stdin.
    """
    with suppress(CommandError):
        return output_of(["git", *words], folder, git_environment(), given=given)
    return None


def stored_contents(folder: Path, names: Sequence[str]) -> list[bytes | None]:
    """The contents of files in a repository, named as `<commit>:<path>` or `<commit>:./<path>`.

    None for each that doesn't exist. Git is called once for all of them.
    """
    said = run_git(folder, "cat-file", "--batch", given="\n".join([*names, ""]).encode())
    found: list[bytes | None] = []
    rest = said or b""
    while rest:
        head, _, rest = rest.partition(b"\n")
        kind, _, size = head.rpartition(b" ")
        if not size.isdigit():  # `<name> missing`
            found.append(None)
            continue
        found.append(rest[: int(size)] if kind.endswith(b" blob") else None)
        rest = rest[int(size) + 1 :]
    return found if len(found) == len(names) else [None] * len(names)


class Listing(NamedTuple):
    """The files of a folder that git tracks, and the others that it does not ignore."""

    tracked: set[Path]
    others: set[Path]


def list_files(folders: Iterable[Path]) -> dict[Path, Listing | None]:
    """The files of each folder; None if the folder is in no repository.

    Git is called once for each repository. Names needn't be UTF-8.
    """
    repositories: dict[Path, list[Path]] = {}
    for folder in folders:
        place = folder.resolve()
        around = (each for each in (place, *place.parents) if (each / ".git").exists())
        repositories.setdefault(next(around, place), []).append(folder)
    found: dict[Path, Listing | None] = {}
    for repository, inside in repositories.items():
        names = [str(folder.resolve().relative_to(repository)) for folder in inside]
        words = ("-z", "-t", "--cached", "--others", "--exclude-standard", "--", *names)
        listing = run_git(repository, "--literal-pathspecs", "ls-files", *words)
        entries = [entry.partition(b" ") for entry in (listing or b"").split(b"\0") if entry]
        for folder, name in zip(inside, names, strict=True):
            listed = Listing(set(), set())
            for tag, _, path in entries:
                file = Path(os.fsdecode(path))
                if file.is_relative_to(name):
                    kind = listed.others if tag == b"?" else listed.tracked
                    kind.add(folder / file.relative_to(name))
            found[folder] = None if listing is None else listed
    return found
