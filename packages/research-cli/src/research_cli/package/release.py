"""Release a package as an immutable wheel with a tag, completely or not at all.

All steps run in a temporary work tree of git. The tag is made, and the branch moved, only after
the wheel has passed the package's tests; a release that was stopped, killed or refused before then
leaves the tree, HEAD and the tags as they were. A release is two commits:

    Release research-train 0.1.0          version, date in the changelog, wheel, hash; it is tagged
    research-train goes on as 0.2.0.dev0  the version of the workspace's code from now on
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import FrameType

import tomlkit
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from research_data.durable import write_bytes
from research_data.errors import ResearchError
from research_data.shown import say
from research_train.errors import Interrupted
from research_train.experiment.pyproject import read_pyproject
from research_train.versions.releases import HASH, RELEASES, releases
from research_train.versions.requirements import internal_packages

from research_cli.children import git, run
from research_cli.package.changelog import stamp
from research_cli.package.plan import Plan
from research_cli.package.state import changed_code
from research_cli.package.wheel_trial import try_wheel

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Released:
    """A release that was made. commit: the one that has the tag."""

    plan: Plan
    commit: str
    sha256: str
    seconds: float


def release_package(plan: Plan, publish: bool = False) -> Released:
    """Build, test, keep, commit and tag a release; prints its steps on stderr.

    publish: pass wheel and source archive to `uv publish` afterwards. Raises ResearchError when a
    step fails, Interrupted at a signal. Both leave the repository as it was, except that a release
    that can't be published remains a release here.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="release-") as temporary:
        tree, built = Path(temporary, "tree"), Path(temporary, "built")
        with _stoppable(), _work_tree(plan, tree) as copy:
            package = copy / plan.folder.relative_to(plan.workspace)
            say(f"{plan.name} {plan.current} -> {plan.version}: version, changelog, lock")
            unbound = _bind_siblings(copy, package)
            _set_version(copy, plan.name, plan.version)
            stamp(package / "CHANGELOG.md", plan.version, date.today())
            say("build: wheel and source archive")
            run(["uv", "build", "--quiet", "--package", plan.name, "--out-dir", built], copy)
            wheel = _only_wheel(built, plan)
            try_wheel(plan, copy, wheel)
            sha256 = _keep(wheel, package / RELEASES)
            commit = _commit(copy, package, f"Release {plan.name} {plan.version}")
            _write_dependencies(package, unbound)
            _set_version(copy, plan.name, plan.following)
            last = _commit(copy, package, f"{plan.name} goes on as {plan.following}")
            _hand_over(plan, commit, last)
        if publish:
            _publish(plan, built)
    return Released(plan, commit, sha256, time.monotonic() - start)


@contextmanager
def _stoppable() -> Iterator[None]:
    """In this block the first signal raises Interrupted; more don't disturb the clean-up."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _work_tree(plan: Plan, tree: Path) -> Iterator[Path]:
    """A temporary work tree of the commit that is released: the workspace's folder in it."""
    try:
        git(plan.workspace, "worktree", "add", "--quiet", "--detach", str(tree), plan.head)
        yield tree / git(plan.workspace, "rev-parse", "--show-prefix")
    finally:
        with suppress(ResearchError):  # stopped before git had made the work tree
            git(plan.workspace, "worktree", "remove", "--force", str(tree))


def _set_version(workspace: Path, name: str, version: Version) -> None:
    run(["uv", "version", "--quiet", "--frozen", "--package", name, str(version)], workspace)
    run(["uv", "lock", "--quiet"], workspace)


def _bind_siblings(workspace: Path, package: Path) -> list[str]:
    """Limit a wheel's requirements of internal packages to the minor version it is tested with.

    A paper pinned to the wheel then runs with these versions, whatever is released later. The
    version tested is the newest release if the code here equals it, else the next version.
    Returns the requirements as they were.
    """
    siblings = internal_packages(workspace)
    before = read_pyproject(package).dependencies
    bound = []
    for text in before:
        folder = siblings.get(canonicalize_name(Requirement(text).name))
        if folder is not None:
            version, released = read_pyproject(folder).version, releases(folder)
            if released and not changed_code(folder, released[0]):
                version = released[0].version
            following = f"{version.major}.{version.minor + 1}"
            text = f"{folder.name}>={version.base_version},<{following}"
        bound.append(text)
    _write_dependencies(package, bound)
    return before


def _write_dependencies(package: Path, dependencies: Sequence[str]) -> None:
    path = package / "pyproject.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    listed = document["project"].get("dependencies", [])
    for index, text in enumerate(dependencies):
        if listed[index] != text:
            listed[index] = text
    write_bytes(path, tomlkit.dumps(document).encode())


def _only_wheel(built: Path, plan: Plan) -> Path:
    wheels = sorted(path.name for path in built.glob("*.whl"))
    if wheels != [plan.wheel.name]:
        raise ResearchError(
            f"{plan.folder}: the build made {', '.join(wheels)}, expected {plan.wheel.name}. A "
            "release is pure Python, one wheel for every machine, so that papers can run it for "
            "years."
        )
    return built / plan.wheel.name


def _keep(wheel: Path, folder: Path) -> str:
    """Copy a wheel to the releases, with its hash in a file as sha256sum writes it."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder.mkdir(exist_ok=True)
    shutil.copyfile(wheel, folder / wheel.name)
    (folder / (wheel.name + HASH)).write_text(f"{sha256}  {wheel.name}\n")
    return sha256


def _commit(workspace: Path, package: Path, message: str) -> str:
    """Commit the files that a release changes, not files that tests left in the tree."""
    files = [package / "pyproject.toml", package / "CHANGELOG.md", package / RELEASES]
    git(workspace, "add", "--force", "--", *map(str, [*files, workspace / "uv.lock"]))
    git(workspace, "commit", "--quiet", "--message", message)
    return git(workspace, "rev-parse", "HEAD")


def _hand_over(plan: Plan, release: str, last: str) -> None:
    """Tag the release and move the branch; signals are ignored for this quarter of a second."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    message = f"{plan.name} {plan.version}"
    git(plan.workspace, "tag", "--annotate", "--message", message, plan.tag, release)
    try:
        git(plan.workspace, "merge", "--quiet", "--ff-only", last)
    except ResearchError as error:
        git(plan.workspace, "tag", "--delete", plan.tag)
        raise ResearchError(
            f"{plan.name} {plan.version} is not released: HEAD or one of its files changed "
            f"during the release ({error}). Try again."
        ) from error


def _publish(plan: Plan, built: Path) -> None:
    """Run `uv publish`; the files stay in dist/, which git ignores."""
    target = plan.workspace / "dist"
    target.mkdir(exist_ok=True)
    archive = f"{plan.name.replace('-', '_')}-{plan.version}.tar.gz"
    files = [shutil.copy(built / name, target) for name in (plan.wheel.name, archive)]
    again = " ".join(os.path.relpath(file, plan.workspace) for file in files)
    say(f"released {plan.name} {plan.version}; in {plan.workspace}: uv publish {again}")
    if subprocess.run(["uv", "publish", *files], stdout=sys.stderr, check=False).returncode:
        raise ResearchError(
            f"{plan.name} {plan.version} is released here, but not published: the reason is above. "
            f"Afterwards, run in {plan.workspace}: `uv publish {again}`"
        )
