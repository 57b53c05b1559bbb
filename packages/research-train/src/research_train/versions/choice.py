"""Choose the version of each internal package that a paper runs.

The workspace's own code runs if its version satisfies the member's requirement, else the newest
release that does (releases.py), else nothing. uv itself ignores a specifier on a workspace source.
"""

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from research_data.shown import did_you_mean

from research_train.errors import RequirementError
from research_train.experiment.members import Member, installed_from
from research_train.experiment.pyproject import read_pyproject
from research_train.versions.releases import Release, releases
from research_train.versions.requirements import (
    installed_version,
    internal_packages,
    required_by,
    requirements_of,
    satisfies,
)


@dataclass(frozen=True)
class Choice:
    """A version of an internal package that runs; release: None where it is the workspace's."""

    name: str
    version: Version
    release: Release | None = None

    def requires(self) -> list[Requirement]:
        """What it requires on this platform."""
        if self.release is None:
            return list(requirements_of(self.name))
        return list(self.release.metadata().applying())


def choose_versions(member: Member) -> dict[str, Choice]:
    """The version of each internal package that a member reaches, directly or through others.

    Raises RequirementError if no version fits, or if a release needs a version of another package
    that the lock doesn't have.
    """
    internal = internal_packages(member.workspace)
    _refuse_what_is_not_there(member, internal)
    wanted = _wanted(required_by(member), member.distribution, internal)
    try:
        chosen = _chosen(wanted, {}, internal)
    except _ImpossibleError as error:
        raise RequirementError(_why_impossible(error.wanted, internal, member)) from error
    for choice in chosen.values():
        if choice.release is not None:
            _check_others(choice, internal, member.distribution)
    return dict(sorted(chosen.items()))


def _refuse_what_is_not_there(member: Member, internal: Mapping[str, Path]) -> None:
    """Raise RequirementError for a requirement of an unknown package, such as a misspelt pin."""
    for requirement in required_by(member):
        name = canonicalize_name(requirement.name)
        where = f"{member.folder / 'pyproject.toml'} requires {requirement}"
        if name in internal and requirement.url:
            raise RequirementError(f"{where}, which names a place. Write {name}==VERSION instead.")
        if name not in internal and installed_version(name) is None:
            raise RequirementError(
                f"{where}, which is neither in the workspace nor installed."
                f"{did_you_mean(name, internal) or ' `uv sync` may install it.'}"
            )


@dataclass(frozen=True)
class _Wanted:
    requirement: Requirement
    by: str

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def accepts(self, choice: Choice) -> bool:
        return satisfies(choice.version, self.requirement.specifier)

    def __str__(self) -> str:
        return f"{self.by} requires {self.requirement}"


class _ImpossibleError(Exception):
    """No version of a package satisfies all of these requirements."""

    def __init__(self, wanted: list[_Wanted]):
        self.wanted = wanted


def _chosen(
    wanted: list[_Wanted], chosen: Mapping[str, Choice], internal: Mapping[str, Path]
) -> dict[str, Choice]:
    """Choose a version of each wanted package that isn't chosen yet, so that all fit together.

    Depth first, by name: if a version's own requirements can't be met, the next one is tried.
    Raises _ImpossibleError with the requirements that rule out the first version tried.
    """
    for name, choice in chosen.items():
        of_it = [each for each in wanted if each.name == name]
        if not all(each.accepts(choice) for each in of_it):
            raise _ImpossibleError(of_it)
    open_names = {each.name for each in wanted} - chosen.keys()
    if not open_names:
        return dict(chosen)
    name = min(open_names)
    of_it = [each for each in wanted if each.name == name]
    first = None
    for choice in _versions(name, internal[name]):
        if all(each.accepts(choice) for each in of_it):
            more = _wanted(choice.requires(), f"{name} {choice.version}", internal)
            try:
                return _chosen([*wanted, *more], {**chosen, name: choice}, internal)
            except _ImpossibleError as error:
                first = first or error
    raise first or _ImpossibleError(of_it)


def _wanted(
    requirements: Iterable[Requirement], by: str, internal: Mapping[str, Path]
) -> list[_Wanted]:
    wanted = [_Wanted(requirement, by) for requirement in requirements]
    return [each for each in wanted if each.name in internal]


def _versions(name: str, folder: Path) -> Iterator[Choice]:
    """The workspace's own version where it is installed, then the releases, the newest first."""
    here = _workspace_version(name, folder)
    if here is not None:
        yield Choice(name, Version(here))
    for release in releases(folder):
        yield Choice(name, release.version, release)


def _workspace_version(name: str, folder: Path) -> str | None:
    """The version of the workspace's own code. Raises RequirementError after a switch of branches.

    An editable install has the version that its pyproject.toml had when it was last synced.
    """
    here = installed_version(name)
    if here is None or installed_from(importlib.metadata.distribution(name)) != folder.resolve():
        return here
    written = read_pyproject(folder).version
    if written != Version(here):
        raise RequirementError(
            f"{folder} is {name} {written} now, but it was {here} when this environment was last "
            "synced. Run `uv sync`."
        )
    return here


def _why_impossible(wanted: list[_Wanted], internal: Mapping[str, Path], member: Member) -> str:
    parts = [" and ".join(dict.fromkeys(map(str, wanted)))]
    for name in dict.fromkeys(each.name for each in wanted):
        here = installed_version(name) or "none"
        released = [str(release.version) for release in releases(internal[name])]
        parts.append(
            f"the workspace has {name} {here}; released are {', '.join(released) or 'none'}"
        )
    return (
        f"{'; '.join(parts)}. A paper only runs under a version that it requires. "
        f"Change the requirement in {member.folder / 'pyproject.toml'}, or `research-cli paper "
        f"pin {member.name} PACKAGE`, which takes the newest release."
    )


def _check_others(choice: Choice, internal: Mapping[str, Path], distribution: str) -> None:
    """Check that the lock has what a release requires besides the internal packages."""
    for requirement in choice.requires():
        if canonicalize_name(requirement.name) in internal:
            continue
        there = installed_version(requirement.name)
        if there is None:
            raise RequirementError(
                f"{choice.name} {choice.version} requires {requirement}, which is no longer "
                f"installed here: `uv add --package {distribution} '{requirement}'`"
            )
        if not requirement.specifier.contains(there, prereleases=True):
            raise RequirementError(
                f"{choice.name} {choice.version} requires {requirement}, and this environment has "
                f"{requirement.name} {there}. One lock holds one version of it for all "
                f"papers: constrain it in the root pyproject.toml "
                f'(constraint-dependencies = ["{requirement}"]) and `uv lock`, or require a newer '
                f"{choice.name}."
            )
