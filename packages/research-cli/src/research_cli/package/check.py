"""Check the internal packages against what papers require and what was released.

Each finding is one line: where, what is wrong, what to do.
"""

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from packaging.utils import canonicalize_name
from research_data.errors import ResearchError
from research_data.shown import first_few
from research_train.code.archive import imports, member_code
from research_train.code.git import run_git
from research_train.errors import RequirementError
from research_train.experiment.members import Member
from research_train.experiment.pyproject import read_pyproject
from research_train.experiment.workspace_members import workspace_members
from research_train.versions.releases import RELEASES, Release, hash_file, releases
from research_train.versions.requirements import installed_version, internal_packages, required_by

from research_cli.package.lower_bounds import false_lower_bounds
from research_cli.package.public_names import untold_names
from research_cli.package.requirements import requirements_met
from research_cli.package.state import changed_code

MISSPELT = 0.8  # similarity to an internal package's name from which on a name is a misspelling


@dataclass(frozen=True)
class PackageCheck:
    """What was found, and how much was checked.

    history: whether releases could be compared with git's history.
    """

    findings: list[str]
    packages: int
    releases: int
    requirements: int
    history: bool


def check_packages(workspace: Path) -> PackageCheck:
    """Check requirements, releases, versions, imports and public names. Raises ResearchError.

    What is wrong with them is in `findings`; an error means that something could not be checked.
    """
    internal = internal_packages(workspace)
    added = _added_releases(workspace)
    findings: list[str] = []
    released = 0
    requirements = 0
    for member in workspace_members(workspace):
        try:
            met = requirements_met(member)
            requirements += len(met)
            findings += dict.fromkeys(each.refused for each in met.values() if each.refused)
            findings += _misspelt(member, list(internal))
            findings += undeclared_imports(member)
            findings += missing_sources(member)
            if member.folder in internal.values():
                findings += false_lower_bounds(member)
        except ResearchError as error:
            findings.append(str(error))
    for name, folder in internal.items():
        try:
            found = releases(folder)
            released += len(found)
            findings += _version_findings(name, folder, found)
            for release in found:
                findings += _release_findings(release)
        except ResearchError as error:
            findings.append(str(error))
    findings += _history_findings(workspace, added)
    findings += untold_names(workspace)
    # A finding that several members share is listed once; paths are relative to the workspace.
    short = dict.fromkeys(each.replace(f"{workspace}/", "") for each in findings)
    return PackageCheck(list(short), len(internal), released, requirements, added is not None)


def _misspelt(member: Member, internal: list[str]) -> Iterator[str]:
    """Requirements of packages that don't exist here but are nearly named like an internal one."""
    for requirement in required_by(member):
        name = canonicalize_name(requirement.name)
        near = get_close_matches(name, internal, n=1, cutoff=MISSPELT)
        if name not in internal and near:
            yield (
                f"{member.folder / 'pyproject.toml'}: requires {requirement}, but this workspace "
                f"has no package {name}. Did you mean {near[0]!r}?"
            )


def undeclared_imports(member: Member) -> Iterator[str]:
    """Internal packages that a member imports but doesn't declare: they may not be installed.

    Benchmarks may import all of the workspace, like tests: both run in it, and no wheel has them.
    """
    modules = {name.replace("-", "_"): name for name in internal_packages(member.workspace)}
    declared = {canonicalize_name(requirement.name) for requirement in required_by(member)}
    seen = {member.distribution, *declared}
    benchmarks = member.folder / "benchmarks"
    for file in member_code(member):
        if file.is_relative_to(benchmarks):
            continue
        for name in sorted({modules[m] for m in imports(file, anywhere=True) if m in modules}):
            if name not in seen:
                seen.add(name)
                yield (
                    f"{file}: imports {name.replace('-', '_')}, but {member.distribution} doesn't "
                    f"declare {name}. `uv add --package {member.distribution} {name}` adds it"
                )


def missing_sources(member: Member) -> Iterator[str]:
    """Internal packages that a member requires without naming the workspace as their source."""
    internal = internal_packages(member.workspace)
    sources = member.pyproject.sources | read_pyproject(member.workspace).sources
    for requirement in required_by(member):
        name = canonicalize_name(requirement.name)
        if name in internal and name not in sources:
            yield (
                f"{member.folder / 'pyproject.toml'}: requires {name} without a source, which "
                f"uv refuses. Add the line `{name} = {{ workspace = true }}` under "
                "[tool.uv.sources]"
            )


def _version_findings(name: str, folder: Path, found: list[Release]) -> Iterator[str]:
    version = read_pyproject(folder).version
    installed = installed_version(name)
    if installed != str(version):
        yield (
            f"{folder / 'pyproject.toml'}: version is {version}, but this environment has "
            f"{name} {installed or '(none)'}. `uv sync --all-packages` installs it."
        )
    for release in found:
        if release.version == version and (changed := changed_code(folder, release)):
            yield (
                f"{folder}: version is {version}, which is released, but src differs from that "
                f"release: {first_few(changed, 3)}. Undo that, or start the next version: "
                f"`uv version --package {name} {version.major}.{version.minor + 1}.0.dev0`"
            )


def _release_findings(release: Release) -> Iterator[str]:
    try:
        release.metadata()
    except RequirementError as error:
        yield str(error)
    except (
        zipfile.BadZipFile,
        ValueError,
    ) as error:  # the hash agrees, but the file was never valid
        yield f"{release.wheel}: is not a wheel ({error}). Remove it and its hash."


def _history_findings(workspace: Path, added: dict[Path, str] | None) -> Iterator[str]:
    """Wheels and hashes that were changed or removed after the commit that added them."""
    if added is None:
        return
    for folder in internal_packages(workspace).values():
        for release in releases(folder):
            for file in (release.wheel, hash_file(release.wheel)):
                if file.is_file() and file not in added:
                    yield (
                        f"{file}: is in no commit, so nobody else has it. Remove it: `research-cli "
                        f"package release {folder.name}` makes a release and commits it."
                    )
    for file, commit in added.items():
        back = f"`git checkout {commit[:12]} -- {file.relative_to(workspace)}` brings it back."
        if not file.is_file():
            yield f"{file}: was released in {commit[:12]} and is gone. {back}"
        elif file.read_bytes() != _in_commit(workspace, file, commit):
            yield f"{file}: was changed after it was released in {commit[:12]}. {back}"


def _added_releases(workspace: Path) -> dict[Path, str] | None:
    """File of a release -> the commit that added it, over git's history; None without git."""
    command = ["-c", "core.quotepath=off", "log", "--reverse", "--full-history"]
    command += ["--diff-filter=A", "--no-renames", "--name-only", "--format=commit %H"]
    # MERGE_HEAD: files that a merge brings which isn't committed yet.
    command += ["--ignore-missing", "HEAD", "MERGE_HEAD"]
    command += ["--relative", "--", f"packages/*/{RELEASES}/*.whl*"]
    log = run_git(workspace, *command)
    if log is None:  # no git on this machine, or no repository: an unpacked archive
        return None
    added: dict[Path, str] = {}
    commit = ""
    for line in filter(None, os.fsdecode(log).splitlines()):
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        else:
            added.setdefault(workspace / line, commit)
    return added


def _in_commit(workspace: Path, file: Path, commit: str) -> bytes:
    name = f"{commit}:./{file.relative_to(workspace).as_posix()}"
    shown = run_git(workspace, "cat-file", "blob", name)
    if shown is None:
        raise ResearchError(f"{workspace}: git can't show {name}, although its history lists it")
    return shown
