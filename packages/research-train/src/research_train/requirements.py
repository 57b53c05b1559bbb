"""Which versions would run: what a paper requires of the internal packages, and all it depends on.

uv ignores a specifier on a workspace source, so `research-train==0.1.0` beside
`{ workspace = true }` would silently run whatever lies in the workspace. It is checked here.
"""

import importlib.metadata
from collections.abc import Collection, Iterator
from email.parser import HeaderParser
from functools import cache
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from research_train.errors import RequirementError
from research_train.members import Member


def internal_packages(workspace: Path) -> dict[str, Path]:
    """Distribution name -> folder of every shared package of the workspace."""
    return {p.parent.name: p.parent for p in sorted(workspace.glob("packages/*/pyproject.toml"))}


def reached_packages(member: Member) -> dict[str, str]:
    """The internal packages that a member requires, directly or through others, and versions.

    Raises RequirementError when one of them isn't installed or isn't of a version required.
    """
    internal = internal_packages(member.workspace)
    reached: dict[str, str] = {}
    waiting = [member.distribution]
    while waiting:
        requirer = waiting.pop()
        for requirement in requirements_of(requirer):
            name = canonicalize_name(requirement.name)
            if name not in internal:
                continue
            installed = _installed_version(name)
            if installed is None:
                raise RequirementError(
                    f"{requirer} requires {requirement}, which is not installed. "
                    f"Run `uv sync`, or `uv run --package {member.distribution} ...`"
                )
            if not satisfies(Version(installed), requirement.specifier):
                raise RequirementError(
                    f"{requirer} requires {requirement}, but the workspace has {name} "
                    f"{installed} and no release that fits. uv itself does not check this: change "
                    f"the requirement in {requirer}'s pyproject.toml."
                )
            if name not in reached:
                reached[name] = installed
                waiting.append(name)
    return dict(sorted(reached.items()))


def satisfies(version: Version, specifiers: SpecifierSet) -> bool:
    """Whether a version is what the specifiers ask for.

    A development version counts as the release it leads to where an order is asked for (0.1.0.dev0
    satisfies >=0.1), but it never equals that release (nor ==0.1.0).
    """
    for specifier in specifiers:
        ordered = specifier.operator in (">=", "<=", ">", "<", "~=")
        candidate = Version(version.base_version) if ordered and version.is_devrelease else version
        if not specifier.contains(candidate, prereleases=True):
            return False
    return True


def dependency_closure(distribution: str, without: Collection[str] = ()) -> dict[str, str]:
    """Name -> installed version of everything a distribution depends on, itself included.

    without: names to leave out, with what only they depend on.
    """
    versions: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(canonicalize_name(distribution), frozenset())]
    seen = set(waiting)
    while waiting:
        name, extras = waiting.pop()
        version = _installed_version(name)
        if version is None or name in without:
            continue
        versions[name] = version
        for requirement in requirements_of(name, extras):
            item = (canonicalize_name(requirement.name), frozenset(requirement.extras))
            if item not in seen:
                seen.add(item)
                waiting.append(item)
    return dict(sorted(versions.items()))


def requirements_of(
    distribution: str, extras: frozenset[str] = frozenset()
) -> Iterator[Requirement]:
    """What an installed distribution itself requires on this platform; nothing if it isn't."""
    found = _metadata(distribution)
    for requirement in found.requires if found else ():
        environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
            yield requirement


def _installed_version(name: str) -> str | None:
    found = _metadata(name)
    return found.version if found else None


class _Metadata(NamedTuple):
    version: str
    requires: tuple[Requirement, ...]


def _metadata(name: str) -> _Metadata | None:
    """What an installed distribution says of itself."""
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return _parsed(distribution.read_text("METADATA") or "")


@cache  # importlib.metadata parses the text anew for each question
def _parsed(metadata: str) -> _Metadata:
    fields = HeaderParser().parsestr(metadata, headersonly=True)
    requires = fields.get_all("Requires-Dist") or ()
    return _Metadata(fields["Version"], tuple(map(Requirement, requires)))
