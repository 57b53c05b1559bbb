"""The internal packages: versions, releases, unreleased changes, and who depends on them."""

import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version
from research_data.errors import UsageError
from research_data.shown import did_you_mean
from research_train.experiment.pyproject import read_pyproject
from research_train.experiment.workspace_members import workspace_members
from research_train.versions.releases import Release, releases
from research_train.versions.requirements import internal_packages

from research_cli.package.changelog import unreleased_entries
from research_cli.package.requirements import RequirementMet, requirements_met


@dataclass(frozen=True)
class Dependent(RequirementMet):
    """A paper, project or package that requires an internal package. by: its distribution."""

    by: str = field(kw_only=True)


@dataclass(frozen=True)
class Unreleased:
    """What changed in a package since its newest release.

    entries: those of its changelog under Unreleased. changed: its source files that differ from the
    newest release; all of them if there is none.
    """

    entries: list[str]
    changed: list[str]


@dataclass(frozen=True)
class PackageState:
    """An internal package. releases: the newest first."""

    name: str
    version: Version
    releases: list[Version]
    unreleased: Unreleased
    dependents: list[Dependent]


def packages(workspace: Path) -> list[PackageState]:
    """Every internal package of the workspace, by name.

    Raises ResearchError for a file that can't be read, RequirementError for a release or a
    requirement that can't be read. A requirement that nothing satisfies raises no error: see
    Dependent.refused.
    """
    everyone = dependents(workspace)
    return [
        _state(name, folder, everyone.get(name, []))
        for name, folder in internal_packages(workspace).items()
    ]


def dependents(workspace: Path) -> dict[str, list[Dependent]]:
    """Internal package -> who requires it, papers and projects first.

    Raises RequirementError for a requirement that can't be read.
    """
    found: dict[str, list[Dependent]] = {}
    for member in workspace_members(workspace):
        for name, each in requirements_met(member).items():
            dependent = Dependent(**vars(each), by=member.distribution)
            found.setdefault(name, []).append(dependent)
    return found


def changed_code(package: Path, release: Release | None) -> list[str]:
    """The files of a package's src that differ from a release's, sorted; all without a release.

    Raises RequirementError for a wheel that is not what was released.
    """
    source = package / "src"
    here = {
        file.relative_to(source).as_posix(): file
        for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    if release is None:
        return sorted(here)
    release.read()
    with zipfile.ZipFile(release.wheel) as wheel:
        released = {
            name
            for name in wheel.namelist()
            if not name.endswith("/") and ".dist-info/" not in name
        }
        same = {
            name for name in released & here.keys() if wheel.read(name) == here[name].read_bytes()
        }
    return sorted((released | here.keys()) - same)


def find_package(name: str, workspace: Path) -> Path:
    """The folder of an internal package. Raises UsageError with the nearest name."""
    internal = internal_packages(workspace)
    if folder := internal.get(canonicalize_name(name)):
        return folder
    listed = ", ".join(internal) or "none"
    raise UsageError(
        f"{workspace / 'packages'} has no package {name!r}.{did_you_mean(name, internal)} "
        f"There are: {listed}"
    )


def _state(name: str, folder: Path, dependents: list[Dependent]) -> PackageState:
    released = releases(folder)
    return PackageState(
        name,
        read_pyproject(folder).version,
        [release.version for release in released],
        Unreleased(
            unreleased_entries(folder / "CHANGELOG.md"),
            changed_code(folder, released[0] if released else None),
        ),
        dependents,
    )
