"""Plan a release of a package, or say why there can be none."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.version import InvalidVersion, Version
from research_data.errors import ResearchError, UsageError
from research_data.shown import first_few
from research_train.code.git import run_git
from research_train.experiment.pyproject import read_pyproject
from research_train.versions.releases import RELEASES, releases

from research_cli.children import git
from research_cli.package.changelog import unreleased_entries
from research_cli.package.state import find_package


class Bump(StrEnum):
    """STABLE: the current version without .dev0; others: that part of the newest release raised."""

    STABLE = "stable"
    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True)
class Plan:
    """A release that passed every check possible before building it.

    folder: the package's folder. current: its version now; version: the one to release; following:
    its version afterwards. head: the commit to release. entries: those of the changelog.
    """

    workspace: Path
    name: str
    folder: Path
    current: Version
    version: Version
    following: Version
    head: str
    entries: list[str]

    @property
    def tag(self) -> str:
        """The tag of the release."""
        return f"{self.name}-v{self.version}"

    @property
    def wheel(self) -> Path:
        """Where the wheel is kept."""
        file = f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"
        return self.folder / RELEASES / file


def plan_release(
    workspace: Path, name: str, bump: Bump = Bump.STABLE, version: str | None = None
) -> Plan:
    """Plan the release of a package. version: instead of a bump.

    Raises UsageError for an unknown package or a version that can't be released. Raises
    ResearchError without git, for uncommitted changes, for nothing under Unreleased, without tests,
    and for a tag that exists.
    """
    folder = find_package(name, workspace)
    head = _head(workspace)
    current = read_pyproject(folder).version
    released = [release.version for release in releases(folder)]
    newest = released[0] if released else None
    chosen = _wanted(version) if version else _bumped(current, newest, bump)
    following = max(current, Version(f"{chosen.major}.{chosen.minor + 1}.0.dev0"))
    entries = unreleased_entries(folder / "CHANGELOG.md")
    plan = Plan(workspace, folder.name, folder, current, chosen, following, head, entries)
    faults = [*_taken(plan, released), *_unready(plan)]
    if faults:  # all at once, so that they can be mended at once
        kind = UsageError if isinstance(faults[0], UsageError) else ResearchError
        raise kind("\n".join(map(str, faults)))
    return plan


def _taken(plan: Plan, released: list[Version]) -> Iterator[ResearchError]:
    """Why a version is not a new one. released: the newest first."""
    version = plan.version
    if version in released:
        yield UsageError(
            f"{plan.wheel}: {plan.name} {version} is already released, and a release never "
            "changes. Release another version: `--bump patch`, or "
            f"`--version {version.major}.{version.minor + 1}.0`."
        )
    elif released and version < released[0]:
        yield UsageError(
            f"{plan.name} {version} is older than its newest release, {released[0]}. Release a "
            "newer version, or correct the older one on a branch that starts at its tag."
        )
    elif git(plan.workspace, "tag", "--list", plan.tag):
        yield ResearchError(
            f"the tag {plan.tag} exists, but {plan.wheel.parent} has no {version}. Either it was "
            "released elsewhere: `git pull` fetches it. Or a release was killed halfway: "
            f"`git tag -d {plan.tag}` removes the tag."
        )


def _unready(plan: Plan) -> Iterator[ResearchError]:
    """Why a package has nothing to release, or no commit that could be released."""
    if not plan.entries:
        yield ResearchError(
            f"{plan.folder / 'CHANGELOG.md'}: has nothing under Unreleased, so there is nothing to "
            "release. Write down what users can now do or must change, and commit it."
        )
    if not (plan.folder / "tests").is_dir():
        yield ResearchError(
            f"{plan.folder}: has no tests, so nothing would show whether the wheel works. Add some "
            f"in {plan.folder / 'tests'} and commit them."
        )
    status = git(plan.workspace, "status", "--porcelain", "--untracked-files=all")
    if dirty := status.splitlines():
        files = first_few([line[3:] for line in dirty])
        yield ResearchError(
            f"{plan.workspace}: uncommitted changes: {files}. A release is made from a commit: "
            "commit them, or `git stash --include-untracked`."
        )


def _head(workspace: Path) -> str:
    """The commit that is checked out. Raises ResearchError without git."""
    if (found := run_git(workspace, "rev-parse", "--verify", "HEAD")) is not None:
        return found.decode().strip()
    known = shutil.which("git") is not None
    why = (
        f"{workspace} is not a git repository with a commit"
        if known
        else "git is not installed here"
    )
    raise ResearchError(
        f"{why}, and a release is a commit with a tag. Release from a clone on a machine with "
        "git. Training, and papers that pin a release, work without git."
    )


def _wanted(text: str) -> Version:
    try:
        version = Version(text)
    except InvalidVersion:
        version = None
    if version is None or str(version) != version.base_version or len(version.release) != 3:
        raise UsageError(f"--version {text}: a release has a version like 0.1.0 or 1.2.3")
    return version


def _bumped(current: Version, newest: Version | None, bump: Bump) -> Version:
    if bump is Bump.STABLE:
        return Version(f"{current.major}.{current.minor}.{current.micro}")
    if newest is None:
        raise UsageError(
            f"--bump {bump}: nothing is released yet, so there is no version to raise. Leave it "
            f"out to release {current.base_version}, or choose one with --version."
        )
    return Version(
        {
            Bump.MAJOR: f"{newest.major + 1}.0.0",
            Bump.MINOR: f"{newest.major}.{newest.minor + 1}.0",
            Bump.PATCH: f"{newest.major}.{newest.minor}.{newest.micro + 1}",
        }[bump]
    )
