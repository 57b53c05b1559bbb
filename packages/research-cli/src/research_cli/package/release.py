"""Release a package as an immutable wheel with a tag, completely or not at all.

All of it is done in a temporary work tree of git. The tag is made, and the branch moved, only after
the wheel has passed the package's tests; a release that was stopped, killed or refused before then
leaves the tree, HEAD and the tags as they were.

    Release research-train 0.1.0          version, changelog's date, wheel and hash; has the tag
    research-train goes on as 0.2.0.dev0  what the workspace's code is called from now on
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
    """Build, test, keep, commit and tag a release; its steps are told on stderr.

    publish: hand wheel and source archive over to `uv publish` afterwards. Raises ResearchError
    for a step that fails, Interrupted for a signal; both leave the repository as it was (but what
    can't be published stays released here).
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
    """Inside, the first signal to stop raises Interrupted; more don't disturb the clearing up."""

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
        with suppress(ResearchError):  # stopped before git knew of it
            git(plan.workspace, "worktree", "remove", "--force", str(tree))


def _set_version(workspace: Path, name: str, version: Version) -> None:
    run(["uv", "version", "--quiet", "--frozen", "--package", name, str(version)], workspace)
    run(["uv", "lock", "--quiet"], workspace)


def _bind_siblings(workspace: Path, package: Path) -> list[str]:
    """Bind what a wheel requires of our packages to the minor version that it is tested with.

    A paper pinned to the wheel then runs with those, whatever they become; returns what stood there
    before. The code that is tested is that of the sibling's newest release where the two are equal,
    else of the version that comes.
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
            f"{plan.folder}: built {', '.join(wheels)}, expected {plan.wheel.name}. A release is "
            "pure Python: one wheel for every machine, so that papers can run it in years."
        )
    return built / plan.wheel.name


def _keep(wheel: Path, folder: Path) -> str:
    """Copy a wheel among the releases, its hash beside it, as sha256sum writes it."""
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    folder.mkdir(exist_ok=True)
    shutil.copyfile(wheel, folder / wheel.name)
    (folder / (wheel.name + HASH)).write_text(f"{sha256}  {wheel.name}\n")
    return sha256


def _commit(workspace: Path, package: Path, message: str) -> str:
    """Commit what a release changes; what tests have left in the tree stays out."""
    files = [package / "pyproject.toml", package / "CHANGELOG.md", package / RELEASES]
    git(workspace, "add", "--force", "--", *map(str, [*files, workspace / "uv.lock"]))
    git(workspace, "commit", "--quiet", "--message", message)
    return git(workspace, "rev-parse", "HEAD")


def _hand_over(plan: Plan, release: str, last: str) -> None:
    """Tag the release and move the branch on. This quarter of a second can't be stopped."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    message = f"{plan.name} {plan.version}"
    git(plan.workspace, "tag", "--annotate", "--message", message, plan.tag, release)
    try:
        git(plan.workspace, "merge", "--quiet", "--ff-only", last)
    except ResearchError as error:
        git(plan.workspace, "tag", "--delete", plan.tag)
        raise ResearchError(
            f"{plan.name} {plan.version} is not released: HEAD or a file of it was changed while "
            f"it was made ({error}). Try again."
        ) from error


def _publish(plan: Plan, built: Path) -> None:
    """Hand over to `uv publish`; the files stay in dist/, which git ignores."""
    target = plan.workspace / "dist"
    target.mkdir(exist_ok=True)
    archive = f"{plan.name.replace('-', '_')}-{plan.version}.tar.gz"
    files = [shutil.copy(built / name, target) for name in (plan.wheel.name, archive)]
    again = " ".join(os.path.relpath(file, plan.workspace) for file in files)
    say(f"released {plan.name} {plan.version}; in {plan.workspace}: uv publish {again}")
    if subprocess.run(["uv", "publish", *files], stdout=sys.stderr, check=False).returncode:
        raise ResearchError(
            f"{plan.name} {plan.version} is released here, but not published: see above. Once "
            f"that is put right, in {plan.workspace}: `uv publish {again}`"
        )
