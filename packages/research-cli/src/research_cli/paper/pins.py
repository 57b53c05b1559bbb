"""Pin a paper to a version of an internal package, and run commands under its pins."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from research_data.durable import write_bytes
from research_data.errors import ResearchError, UsageError
from research_train.experiment.members import Member
from research_train.versions.choice import choose_versions
from research_train.versions.hand_over import environment_under
from research_train.versions.releases import releases
from research_train.versions.requirements import internal_packages, required_by
from tomlkit.items import Array

from research_cli.package.state import find_package
from research_cli.paper.all_or_nothing import LOCK, alone, call, renewed_lock, restored_on_failure


@dataclass(frozen=True)
class Pin:
    """What a paper requires of a package now and required before, and the version that it runs.

    release: whether that version is a release rather than the workspace's own code.
    """

    paper: str
    requirement: Requirement
    before: str | None
    runs: Version
    release: bool


def pin(member: Member, text: str) -> Pin:
    """Make a member require a version of an internal package; by default the newest release.

    text: `research-train`, `research-train==0.1.0`, or the name with a range. The pyproject.toml
    keeps its comments and order, the lock is renewed, and the member's config is loaded under the
    pin. When a step fails, both files are restored. Raises UsageError for an unknown package or a
    text that is not a requirement, ResearchError when no release satisfies it.
    """
    wanted = _understood(member, text)
    if not wanted.specifier:
        released = releases(internal_packages(member.workspace)[wanted.name])
        if not released:
            raise ResearchError(
                f"{wanted.name} has no release to pin {member.name} to. "
                f"`research-cli package release {wanted.name}` makes one."
            )
        wanted.specifier = SpecifierSet(f"=={released[0].version}")
    return _changed(member, wanted)


def unpin(member: Member, name: str) -> Pin:
    """Make a member run the workspace's own version of a package again; fails as `pin` does."""
    wanted = _understood(member, name)
    if wanted.specifier:
        raise UsageError(
            f"{name!r}: give the name of the package without a version, `{wanted.name}`"
        )
    return _changed(member, wanted)


def run_under_pins(member: Member, command: Sequence[str]) -> None:
    """Replace this process with a command that runs under a member's requirements.

    Doesn't return. Raises UsageError when there is no such program, RequirementError when the
    requirements can't be met.
    """
    environment = environment_under(member, pid=os.getpid())  # exec keeps this process's id
    here = str(Path(sys.executable).parent)  # `python` and `pytest` of this environment
    environment["PATH"] = os.pathsep.join([here, environment.get("PATH", os.defpath)])
    sys.stdout.flush()
    try:
        os.execvpe(command[0], list(command), environment)
    except FileNotFoundError as error:
        raise UsageError(f"there is no program {command[0]!r} on the PATH") from error


def _understood(member: Member, text: str) -> Requirement:
    try:
        wanted = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"{text!r} is not a requirement ({str(error).splitlines()[0]}): write "
            "PACKAGE==0.1.0, or PACKAGE alone for its newest release"
        ) from error
    if wanted.extras:
        raise UsageError(f"{text!r}: internal packages have no extras; leave out the brackets")
    wanted.name = find_package(wanted.name, member.workspace).name
    return wanted


def _changed(member: Member, wanted: Requirement) -> Pin:
    pyproject, lock = member.folder / "pyproject.toml", member.workspace / LOCK
    with alone(member.workspace), restored_on_failure([pyproject, lock]):
        required_by(member)  # raises when the present requirements can't be read
        document = tomlkit.parse(pyproject.read_text(encoding="utf-8"))
        before = _write_requirement(document, wanted)
        content = tomlkit.dumps(document).encode()
        place = member.folder.relative_to(member.workspace).as_posix()
        renewed = renewed_lock(member.workspace, {place: content})
        write_bytes(lock, renewed)  # right before the other: two files can't be replaced at once
        write_bytes(pyproject, content)
        runs = choose_versions(member)[wanted.name]
        command = [str(Path(sys.executable).with_name("train")), "--paper", member.name, "--help"]
        call(command, member.folder, f"{member.name} can't be started under {wanted}")
    return Pin(member.name, wanted, before, runs.version, runs.release is not None)


def _write_requirement(document: tomlkit.TOMLDocument, wanted: Requirement) -> str | None:
    """Change or add a requirement; returns the one that was there."""
    project = document["project"]
    assert isinstance(project, dict)
    listed = project.setdefault("dependencies", tomlkit.array())
    assert isinstance(listed, Array)
    for index, text in enumerate(listed):
        if canonicalize_name(Requirement(str(text)).name) == wanted.name:
            listed[index] = str(wanted)
            return str(text)
    listed.append(str(wanted))
    uv = document.setdefault("tool", tomlkit.table()).setdefault("uv", tomlkit.table())
    source = tomlkit.inline_table()
    source["workspace"] = True
    uv.setdefault("sources", tomlkit.table())[wanted.name] = source
    return None
