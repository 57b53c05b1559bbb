"""Read what a paper requires of our packages, and all that it depends on.

uv ignores a specifier on a workspace source, so `research-train==0.1.0` beside
`{ workspace = true }` would silently run whatever is in the workspace. So it is checked here.
"""

import importlib.metadata
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from research_train.errors import RequirementError
from research_train.experiment.members import Member
from research_train.experiment.pyproject import read_pyproject
from research_train.experiment.workspace_members import member_folders


def internal_packages(workspace: Path) -> dict[str, Path]:
    """Distribution name -> folder of every shared package of the workspace."""
    return {folder.name: folder for folder in member_folders(workspace, "package")}


def reached_packages(member: Member) -> dict[str, str]:
    """The internal packages that a member reaches, and their versions in this process.

    Raises RequirementError when one of them isn't installed or isn't of a version required.
    """
    internal = internal_packages(member.workspace)
    reached: dict[str, str] = {}
    waiting = [(member.distribution, requirement) for requirement in required_by(member)]
    while waiting:
        by, requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in internal:
            continue
        installed = installed_version(name)
        if installed is None:
            raise RequirementError(
                f"{by} requires {requirement}, which is not installed. "
                f"Run `uv sync`, or `uv run --package {member.distribution} ...`"
            )
        if not satisfies(Version(installed), requirement.specifier):
            raise RequirementError(
                f"{by} requires {requirement}, and this process imports {name} {installed}. "
                f"`uv run --package {member.distribution} train` runs what is required, and so "
                f"does `research-cli paper exec {member.name} -- COMMAND` for any command."
            )
        if name not in reached:
            reached[name] = installed
            waiting += [(f"{name} {installed}", each) for each in requirements_of(name)]
    return dict(sorted(reached.items()))


def workspace_packages(member: Member) -> list[str]:
    """The internal packages that a member reaches in the workspace's lock.

    A release may reach fewer, but an archive of the code needs all of these to fit its lock.
    """
    internal = internal_packages(member.workspace)
    reached: set[str] = set()
    waiting = [*required_by(member)]
    while waiting:
        name = canonicalize_name(waiting.pop().name)
        if name in internal and name not in reached:
            reached.add(name)
            waiting += read_pyproject(internal[name]).requirements
    return sorted(reached)


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


def dependency_closure(member: Member) -> dict[str, str]:
    """Name -> version in this process of everything that a member depends on, itself included."""
    versions = {member.distribution: installed_version(member.distribution) or "0"}
    waiting = list(required_by(member))
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        item = (name, frozenset(requirement.extras))
        if item in seen:
            continue
        seen.add(item)
        version = installed_version(name)
        if version is None:
            continue
        versions[name] = version
        waiting += requirements_of(*item)
    return dict(sorted(versions.items()))


def requirements_of(
    distribution: str, extras: frozenset[str] = frozenset()
) -> Iterator[Requirement]:
    """What an installed distribution itself requires on this platform; nothing if it isn't."""
    found = installed_metadata(distribution)
    yield from found.applying(extras) if found else ()


def required_by(member: Member) -> list[Requirement]:
    """What a member requires, as its pyproject.toml says now, even if not synced yet.

    Raises RequirementError, UnreadableError.
    """
    if not (member.folder / "pyproject.toml").is_file():  # installed from a wheel
        return list(requirements_of(member.distribution))
    return member.pyproject.requirements


def installed_version(name: str) -> str | None:
    """The version of a distribution that this process imports, None where it isn't there."""
    found = installed_metadata(name)
    return found.version if found else None


class Metadata(NamedTuple):
    """The name, version and requirements in a distribution's metadata."""

    name: str
    version: str
    requires: tuple[str, ...]

    def applying(self, extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
        """The requirements on this platform."""
        environments = [{"extra": extra} for extra in extras] or [{"extra": ""}]
        for text in self.requires:
            if not extras and _ONLY_FOR_AN_EXTRA.search(text):
                continue  # nine of ten, and parsing them all takes a noticeable time
            requirement = _parsed(text)
            if requirement.marker is None or any(map(requirement.marker.evaluate, environments)):
                yield requirement


_ONLY_FOR_AN_EXTRA = re.compile(r""";\s*extra\s*==\s*(["'])[^"']+\1\s*$""")


@cache  # importlib.metadata parses the text anew for each question
def parse_metadata(text: str) -> Metadata:
    """The content of a METADATA file."""
    headers, _, _ = text.partition("\n\n")  # below them stands a whole README
    # A fingerprint reads a hundred of these; email's parser takes twice as long.
    fields: dict[str, list[str]] = {"name": [], "version": [], "requires-dist": []}
    for line in re.sub(r"\r?\n[ \t]+", " ", headers).splitlines():
        key, _, value = line.partition(":")
        if (values := fields.get(key.lower())) is not None:
            values.append(value.strip())
    name, version = (next(iter(fields[key]), "") for key in ("name", "version"))
    return Metadata(name, version, tuple(fields["requires-dist"]))


@cache
def _parsed(requirement: str) -> Requirement:
    return Requirement(requirement)


def installed_metadata(name: str) -> Metadata | None:
    """The metadata of a distribution that this process imports, None where it isn't there."""
    try:
        path = tuple(sys.path)
        text = _distribution(path, name).read_text("METADATA")
        if text is None:  # uninstalled, or another version since
            _distribution.cache_clear()
            text = _distribution(path, name).read_text("METADATA")
    except importlib.metadata.PackageNotFoundError:
        return None
    return parse_metadata(text or "")


@cache  # a fingerprint asks for the same hundred a thousand times
def _distribution(path: tuple[str, ...], name: str) -> importlib.metadata.Distribution:
    return importlib.metadata.distribution(name)
