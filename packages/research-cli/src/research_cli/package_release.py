"""A release: an immutable wheel with a tag, made whole or not at all.

All of it is done in a temporary work tree of git. Only when the wheel has passed the package's
tests is there a tag, and does the branch move on to it; a release that was stopped, killed or
refused before leaves the tree, HEAD and the tags as they were.

    Release research-train 0.1.0          version, changelog's date, wheel and hash; has the tag
    research-train goes on as 0.2.0.dev0  what the workspace's code is called from now on
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import FrameType

from packaging.version import InvalidVersion, Version
from research_data.errors import ResearchError, UsageError
from research_data.progress import say
from research_train.errors import Interrupted
from research_train.releases import HASH, RELEASES, releases

from research_cli.changelog import stamp, unreleased_entries
from research_cli.package_state import find_package, members, version_of

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STOP_TIMEOUT = 5.0  # seconds that tests get to end by themselves

# Run by the clean environment: that the wheel is whole, by itself, and says the right version.
IMPORT_ALL = """\
import importlib, importlib.metadata, sys
name, version, *modules = sys.argv[1:]
assert importlib.metadata.version(name) == version, importlib.metadata.version(name)
names = 0
for module in map(importlib.import_module, modules):
    assert module.__file__.startswith(sys.prefix), module.__file__
    for public in getattr(module, "__all__", ()):
        getattr(module, public)
        names += 1
print(f"{len(modules)} modules, {names} public names")
"""


class Bump(StrEnum):
    """Which number a release takes: what `version` leads to, or the newest release's next one."""

    STABLE = "stable"
    MAJOR = "major"
    MINOR = "minor"
    PATCH = "patch"


@dataclass(frozen=True)
class Plan:
    """A release that can be tried: nothing that is known without building it forbids it.

    folder: the package's. version: the one to release; current: the one it has; following: what it
    goes on as. head: the commit that is released. entries: of the changelog.
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


@dataclass(frozen=True)
class Released:
    """A release that was made. commit: the one that has the tag."""

    plan: Plan
    commit: str
    sha256: str
    seconds: float


def plan_release(
    workspace: Path, name: str, bump: Bump = Bump.STABLE, version: str | None = None
) -> Plan:
    """What releasing a package would be. version: instead of a bump.

    Raises UsageError: no such package, or no such version can be released. Raises ResearchError: no
    git, changes that are in no commit, nothing under Unreleased, no tests, a tag that is taken.
    """
    folder = find_package(name, workspace)
    head = _head(workspace)
    current = version_of(folder)
    newest = next((release.version for release in releases(folder)), None)
    chosen = _wanted(version) if version else _bumped(current, newest, bump)
    following = Version(f"{chosen.major}.{chosen.minor + 1}.0.dev0")
    entries = unreleased_entries(folder / "CHANGELOG.md")
    plan = Plan(workspace, folder.name, folder, current, chosen, following, head, entries)
    if any(release.version == chosen for release in releases(folder)):
        raise UsageError(
            f"{plan.wheel}: {plan.name} {chosen} was released; a release never changes. "
            f"Release another: `--bump patch`, or `--version {chosen.major}.{chosen.minor + 1}.0`."
        )
    if newest is not None and chosen < newest:
        raise UsageError(
            f"{plan.name} {chosen} is older than its newest release, {newest}. Release a newer "
            "one; an older line is released from a branch that starts at its tag."
        )
    if _git(workspace, "tag", "--list", plan.tag):
        raise ResearchError(
            f"the tag {plan.tag} exists, but {folder / RELEASES} has no {chosen}: it was released "
            f"elsewhere, or by hand. `git pull`, or release another version with --version."
        )
    if not entries:
        raise ResearchError(
            f"{folder / 'CHANGELOG.md'}: has nothing under Unreleased, so there is nothing to "
            "release. Write there what its users can now do or have to change, and commit it."
        )
    if not (folder / "tests").is_dir():
        raise ResearchError(
            f"{folder}: has no tests, so nothing would say whether the wheel works. Add some in "
            f"{folder / 'tests'} and commit them."
        )
    if dirty := _git(workspace, "status", "--porcelain", "--untracked-files=all").splitlines():
        files = ", ".join(line[3:] for line in dirty[:5])
        more = f" and {len(dirty) - 5} more" if len(dirty) > 5 else ""
        raise ResearchError(
            f"{workspace}: changes that are in no commit: {files}{more}. A release is what a "
            "commit holds: commit them, or `git stash --include-untracked`."
        )
    return plan


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
            _set_version(copy, plan.name, plan.version)
            stamp(package / "CHANGELOG.md", plan.version, date.today())
            say("build: wheel and source archive")
            _run(["uv", "build", "--quiet", "--package", plan.name, "--out-dir", built], copy)
            wheel = _only_wheel(built, plan)
            _test_wheel(plan, copy, wheel)
            sha256 = _keep(wheel, package / RELEASES)
            commit = _commit(copy, package, f"Release {plan.name} {plan.version}")
            _set_version(copy, plan.name, plan.following)
            last = _commit(copy, package, f"{plan.name} goes on as {plan.following}")
            _hand_over(plan, commit, last)
        if publish:
            _publish(plan, built)
    return Released(plan, commit, sha256, time.monotonic() - start)


def _head(workspace: Path) -> str:
    """The commit that is checked out. Raises ResearchError without git."""
    command = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        found = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        why = "git is not installed here"
    else:
        if found.returncode == 0:
            return found.stdout.strip()
        why = f"{workspace} is no git repository with a commit"
    raise ResearchError(
        f"{why}, and a release is a commit with a tag. Release from a clone on a machine with "
        "git. Only this needs it: training, and papers that pin a release, work without."
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
            f"--bump {bump}: nothing is released yet that could be counted on from. Leave it out "
            f"to release {current.base_version}, or say which with --version."
        )
    return Version(
        {
            Bump.MAJOR: f"{newest.major + 1}.0.0",
            Bump.MINOR: f"{newest.major}.{newest.minor + 1}.0",
            Bump.PATCH: f"{newest.major}.{newest.minor}.{newest.micro + 1}",
        }[bump]
    )


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
        _git(plan.workspace, "worktree", "add", "--quiet", "--detach", str(tree), plan.head)
        yield tree / _git(plan.workspace, "rev-parse", "--show-prefix")
    finally:
        with suppress(ResearchError):  # stopped before git knew of it
            _git(plan.workspace, "worktree", "remove", "--force", str(tree))


def _set_version(workspace: Path, name: str, version: Version) -> None:
    _run(["uv", "version", "--quiet", "--frozen", "--package", name, str(version)], workspace)
    _run(["uv", "lock", "--quiet"], workspace)


def _only_wheel(built: Path, plan: Plan) -> Path:
    wheels = sorted(path.name for path in built.glob("*.whl"))
    if wheels != [plan.wheel.name]:
        raise ResearchError(
            f"{plan.folder}: built {', '.join(wheels)}, expected {plan.wheel.name}. A release is "
            "pure Python: one wheel for every machine, so that papers can run it in years."
        )
    return built / plan.wheel.name


def _test_wheel(plan: Plan, workspace: Path, wheel: Path) -> None:
    """Import all of a wheel, and run the package's tests, in an environment made for it.

    It is what `uv sync` would make of this commit, but with the wheel in place of the package's
    source. What comes from outside is linked from this environment: nothing is downloaded.
    """
    say("clean environment: the wheel; all else as it is locked")
    environment = workspace / ".venv"
    python = environment / "bin" / "python"
    _run(["uv", "venv", "--quiet", "--python", sys.executable, environment], workspace)
    install = ["uv", "pip", "install", "--quiet", "--no-deps", "--offline", "--python", python]
    others = [each.folder for each in members(workspace) if each.distribution != plan.name]
    _run(
        [*install, wheel, *(word for folder in others for word in ("--editable", folder))],
        workspace,
    )
    [site] = environment.glob("lib/python*/site-packages")
    _link_outside(plan, site)
    imported = _run([python, "-c", IMPORT_ALL, plan.name, plan.version, *_modules(wheel)], site)
    say(f"imported from the wheel: {imported}; version {plan.version}")
    tests = (plan.folder / "tests").relative_to(plan.workspace)
    say(f"tests against the wheel: pytest {tests}")
    if code := _in_a_group([python, "-m", "pytest", "--quiet", tests], workspace):
        raise ResearchError(
            f"{plan.folder / 'tests'}: fail against the wheel (exit code {code}, their output is "
            f"above). {plan.name} is not released, nothing was changed: correct it, commit, and "
            "try again."
        )


def _link_outside(plan: Plan, site: Path) -> None:
    """Link what this environment has besides the workspace's own into another."""
    released = plan.name.replace("-", "_")
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            ours = entry.name == f"{released}.pth" or entry.name.startswith(f"{released}-")
            if not ours and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)


def _modules(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        files = [Path(name) for name in archive.namelist() if name.endswith(".py")]
    names = [file.parent if file.name == "__init__.py" else file.with_suffix("") for file in files]
    return [".".join(name.parts) for name in names if name.name != "__main__"]


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
    _git(workspace, "add", "--force", "--", *map(str, [*files, workspace / "uv.lock"]))
    _git(workspace, "commit", "--quiet", "--message", message)
    return _git(workspace, "rev-parse", "HEAD")


def _hand_over(plan: Plan, release: str, last: str) -> None:
    """Tag the release and move the branch on. This quarter of a second can't be stopped."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    message = f"{plan.name} {plan.version}"
    _git(plan.workspace, "tag", "--annotate", "--message", message, plan.tag, release)
    try:
        _git(plan.workspace, "merge", "--quiet", "--ff-only", last)
    except ResearchError as error:
        _git(plan.workspace, "tag", "--delete", plan.tag)
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


def _in_a_group(words: Sequence[object], folder: Path) -> int:
    """Run a command, its output on stderr; all its processes end when this one is stopped."""
    child = subprocess.Popen(
        [str(word) for word in words],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
    )
    try:
        return child.wait()
    except BaseException:
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        raise


def _git(folder: Path, *words: str) -> str:
    # Hooks are for commits by hand, and would run here in a tree without an environment.
    return _run(["git", "-c", f"core.hooksPath={os.devnull}", *words], folder)


def _run(words: Sequence[object], folder: Path) -> str:
    """What a command prints. Raises ResearchError with its last lines where it fails."""
    command = [str(word) for word in words]
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise ResearchError(f"{command[0]} is not installed here: a release needs it") from error
    if done.returncode:
        shown = " ".join(word for word in command[:4] if not word.startswith("-"))
        last = "; ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise ResearchError(f"`{shown}` failed with exit code {done.returncode}: {last}")
    return done.stdout.rstrip()


def _environment() -> dict[str, str]:
    """Without what would put other code before the wheel, or point uv at another environment."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "UV_PROJECT", "UV_WORKING_DIR")
    return {name: value for name, value in os.environ.items() if name not in dropped}
