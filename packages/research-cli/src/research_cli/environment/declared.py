"""Collect the versions that the workspace requires of each package."""

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from research_data import this_workspace
from research_train.experiment.pyproject import read_pyproject
from research_train.experiment.workspace_members import workspace_members
from research_train.versions.requirements import requirements_of

INTERNAL = ("research-data", "research-models", "research-train", "research-viz", "research-cli")


@dataclass(frozen=True)
class Declared:
    """What the workspace requires of a package.

    versions: all that is required of its version. required: True if something installed needs it
    to run, False if only a dependency group of the workspace's root lists it.
    """

    versions: SpecifierSet
    required: bool


def declared_packages() -> dict[str, Declared]:
    """Name -> what internal packages, papers, projects and the root's groups require of a package.

    Raises ResearchError when a dependency group can't be read.
    """
    workspace = this_workspace()
    members = workspace_members(workspace, unread=True) if workspace else []
    names = {*INTERNAL, *(member.distribution for member in members)}
    required = [requirement for name in names for requirement in requirements_of(name)]
    grouped = read_pyproject(workspace).group_requirements if workspace else []
    asked: dict[str, list[SpecifierSet]] = {}
    for requirement in (*required, *grouped):
        asked.setdefault(canonicalize_name(requirement.name), []).append(requirement.specifier)
    needed = {canonicalize_name(requirement.name) for requirement in required}
    return {name: Declared(combined(each), name in needed) for name, each in asked.items()}


def combined(specifiers: Iterable[SpecifierSet]) -> SpecifierSet:
    """One set that requires all of them; of several `>=` only the highest is kept."""
    all_of_them = {part for specifier_set in specifiers for part in specifier_set}
    lower = {part for part in all_of_them if part.operator == ">="}
    highest = sorted(lower, key=lambda part: Version(part.version))[-1:]
    return SpecifierSet(",".join(map(str, [*highest, *(all_of_them - lower)])))
