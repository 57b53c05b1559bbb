"""The papers, projects and packages of a workspace, as their folders say, installed or not."""

from pathlib import Path
from typing import Any, cast

from research_data import find_workspace, this_workspace
from research_data.errors import ResearchError, UnreadableError, UsageError
from research_data.plain_files import read_toml, table_of

from research_train.experiment.members import GROUP, Member


def workspace_here() -> Path:
    """The workspace of the working folder, else the one of this environment. Raises UsageError."""
    if found := find_workspace(Path.cwd()) or this_workspace():
        return found
    raise UsageError(f"{Path.cwd()} is in no workspace. Change into its folder and try again.")


def members(workspace: Path) -> list[Member]:
    """The workspace's papers, projects and packages, installed or not. Raises ResearchError."""
    files = [
        file
        for kind in ("papers", "projects", "packages")
        for file in sorted(workspace.glob(f"{kind}/*/pyproject.toml"))
    ]
    return [Member(f.parent.name, str(project(f)["name"]), f.parent, {}) for f in files]


def project(pyproject: Path) -> dict[str, object]:
    """The table [project] of a pyproject.toml, with a name. Raises ResearchError."""
    try:
        table = table_of(read_toml(pyproject), "project", path=pyproject)
    except UnreadableError as error:
        raise ResearchError(f"{pyproject}: can't be read ({error.reason}). Correct it.") from error
    if not isinstance(table.get("name"), str) or not table["name"]:
        raise ResearchError(f'{pyproject}: [project] has no name. Write `name = "..."` there.')
    return dict(table)


def member_folders(workspace: Path, unread: bool = False) -> list[Member]:
    """Papers, then projects, with their experiments, as their pyprojects say, installed or not.

    unread: list those too whose pyproject can't be read, by their folders' names. Raises
    ResearchError for them otherwise.
    """
    found = []
    for kind in ("paper", "project"):
        for file in sorted(workspace.glob(f"{kind}s/*/pyproject.toml")):
            folder = file.parent
            try:
                table = cast(dict[str, Any], project(file))
            except ResearchError:
                if not unread:
                    raise
                table = {"name": f"{kind}-{folder.name}"}
            points = table_of(table, "entry-points", GROUP, path=file)
            named = next(iter(points), folder.name).split(".")[0]  # what commands call it
            found.append(Member(named, str(table["name"]), folder, dict(points)))
    return found


def pyproject_of(member: Member) -> dict[str, Any]:
    """The content of a member's pyproject.toml, which `member_folders` has read before."""
    return read_toml(member.folder / "pyproject.toml")


def kind_of(member: Member) -> str:
    """Whether it is a paper or a project."""
    return member.folder.parent.name.removesuffix("s")
