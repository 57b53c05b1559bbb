"""List the papers, projects and packages in a workspace's folders, installed or not."""

from collections.abc import Sequence
from pathlib import Path

from research_data import find_workspace, this_workspace
from research_data.errors import ResearchError, UsageError

from research_train.experiment.members import Member
from research_train.experiment.pyproject import read_pyproject

TRAINABLE = ("paper", "project")
KINDS = (*TRAINABLE, "package")


def workspace_here() -> Path:
    """The workspace of the working folder, or else of this environment. Raises UsageError."""
    if found := find_workspace(Path.cwd()) or this_workspace():
        return found
    raise UsageError(
        f"{Path.cwd()} is not in a workspace. Change into the workspace's folder and try again."
    )


def workspace_members(
    workspace: Path, kinds: Sequence[str] = KINDS, unread: bool = False
) -> list[Member]:
    """The members of these kinds, with their experiments; each kind is sorted by name.

    unread: list members whose pyproject can't be read as well, under their folders' names. Without
    it they raise ResearchError.
    """
    return [
        _member(folder, kind, unread)
        for kind in kinds
        for folder in member_folders(workspace, kind)
    ]


def member_folders(workspace: Path, kind: str) -> list[Path]:
    """The folders of the members of one kind, sorted by name."""
    return [file.parent for file in sorted(workspace.glob(f"{kind}s/*/pyproject.toml"))]


def kind_of(member: Member) -> str:
    """Whether it is a paper, a project or a package."""
    return member.folder.parent.name.removesuffix("s")


def _member(folder: Path, kind: str, unread: bool) -> Member:
    try:
        pyproject = read_pyproject(folder)
        experiments = pyproject.experiments
        named = next(iter(experiments), folder.name).split(".")[0]  # its name in commands
        return Member(named, pyproject.name, folder, experiments)
    except ResearchError:
        if not unread:
            raise
        distribution = folder.name if kind == "package" else f"{kind}-{folder.name}"
        return Member(folder.name, distribution, folder, {})
