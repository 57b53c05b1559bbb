"""Check that the requirements of papers, projects and packages can be met."""

from collections.abc import Iterator
from pathlib import Path

from packaging.utils import canonicalize_name
from research_data.errors import ResearchError
from research_train.experiment.members import Member
from research_train.experiment.workspace_members import workspace_members
from research_train.versions.choice import choose_versions
from research_train.versions.requirements import installed_version, internal_packages, required_by

from research_cli.environment.check import Check


def check_requirements(workspace: Path) -> list[Check]:
    """A row for each member whose requirements, as its pyproject.toml says now, can't be met."""
    found = []
    for member in workspace_members(workspace, unread=True):
        try:
            _ = member.pyproject.name
            choose_versions(member)
            problems = list(_unmet(member))
        except ResearchError as error:
            problems = [" ".join(str(error).split())]
        if problems:
            fix = "; ".join(problems).replace(f"{workspace}/", "")
            found.append(Check(member.distribution, "fail", "can't run", "its requirements", fix))
    return found


def _unmet(member: Member) -> Iterator[str]:
    """Requirements of external packages that the installed version doesn't meet."""
    internal = internal_packages(member.workspace)
    for requirement in required_by(member):
        there = installed_version(requirement.name)
        if canonicalize_name(requirement.name) in internal or there is None:
            continue  # choose_versions checks these
        if not requirement.specifier.contains(there, prereleases=True):
            yield (
                f"{member.folder / 'pyproject.toml'} requires {requirement}, but {there} is "
                "installed: `uv sync` installs the locked version, `uv lock` locks one that fits"
            )
