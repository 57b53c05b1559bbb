"""What the workspace says: where it is, what is installed from it, what it requires."""

import importlib.metadata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from research_data import UsageError, this_workspace
from research_data.plain_files import read_toml, table_of
from research_train.experiment.members import installed_from
from research_train.versions.requirements import requirements_of

INTERNAL = ("research-data", "research-models", "research-train", "research-viz", "research-cli")


@dataclass(frozen=True)
class Declared:
    """What is asked of a package.

    versions: the specifiers of all that declare it. required: something installed needs it to
    run; otherwise only a dependency group of the workspace's root lists it.
    """

    versions: SpecifierSet
    required: bool


def declared_packages() -> dict[str, Declared]:
    """Name -> what is asked of every package by our packages, the members and the root's groups.

    Raises UsageError when a dependency group can't be read.
    """
    workspace = this_workspace()
    names = {*INTERNAL, *(_members(workspace) if workspace else [])}
    required = [requirement for name in names for requirement in requirements_of(name)]
    grouped = grouped_requirements(workspace) if workspace else []
    asked: dict[str, list[SpecifierSet]] = {}
    for requirement in (*required, *grouped):
        asked.setdefault(canonicalize_name(requirement.name), []).append(requirement.specifier)
    needed = {canonicalize_name(requirement.name) for requirement in required}
    return {name: Declared(combined(each), name in needed) for name, each in asked.items()}


def combined(specifiers: Iterable[SpecifierSet]) -> SpecifierSet:
    """One set that asks for all of them; of several `>=` the highest says it."""
    all_of_them = {part for specifier_set in specifiers for part in specifier_set}
    lower = {part for part in all_of_them if part.operator == ">="}
    highest = sorted(lower, key=lambda part: Version(part.version))[-1:]
    return SpecifierSet(",".join(map(str, [*highest, *(all_of_them - lower)])))


def grouped_requirements(workspace: Path) -> list[Requirement]:
    """All that the dependency groups of the workspace's root list. Raises UsageError."""
    pyproject = workspace / "pyproject.toml"
    groups = table_of(read_toml(pyproject), "dependency-groups", path=pyproject)
    requirements = []
    for group, entries in groups.items():
        # An entry that is no text includes another group, which is read on its own.
        for text in (entry for entry in entries if isinstance(entry, str)):
            try:
                requirements.append(Requirement(text))
            except InvalidRequirement as error:
                raise UsageError(
                    f"{pyproject}: dependency group {group}: {text!r} is not a requirement. "
                    "Write it like 'numpy>=1.26'."
                ) from error
    return [r for r in requirements if not r.marker or r.marker.evaluate()]


def _members(workspace: Path) -> list[str]:
    """Every distribution whose editable install lies in the workspace: papers and projects too."""
    return [
        distribution.name
        for distribution in importlib.metadata.distributions()
        if (folder := installed_from(distribution)) and folder.is_relative_to(workspace)
    ]
