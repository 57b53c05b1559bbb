"""Which versions of the internal packages a paper runs, and a process that runs them.

The workspace's own code runs where its version is what the paper requires, else the newest release
that is (releases.py), else nothing. uv itself ignores a specifier on a workspace source.

**The hand-over.** `train` and `evaluate` of any version do this and no more: where a release is
chosen they start themselves again (the same process, interpreter and words, with --paper NAME where
none was named), the unpacked releases first on PYTHONPATH and in the environment

    RESEARCH_RELEASES={"paper": "paper-old", "pid": 4711, "releases": {"research-train": ["0.1.0"]}}

A process that finds its own pid there takes it as decided. One that inherited it (a `train` inside
of a `train`, a shell under `paper exec`) starts again without it: the newest code always decides. A
pid of null is for whoever is asked to run other versions on purpose (`package impact`).

Never to be renamed, as the scripts of a workspace start them in any release: the functions
research_train.launch.train_command and evaluate_command, the modules research_train.pytest_pins
and research_train.fingerprints.
"""

import importlib.metadata
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, TypedDict

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from research_data.assets.catalog import show_manifests
from research_data.errors import UnreadableError
from research_data.plain_files import read_toml, table_of
from research_data.shown import brief
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver

from research_train.errors import RequirementError
from research_train.experiment.members import Member, did_you_mean, installed_from
from research_train.processes.hash_seed import start_again
from research_train.versions.releases import CACHE, Release, differences, releases, unpacked
from research_train.versions.requirements import (
    installed_version,
    internal_packages,
    required_by,
    requirements_of,
    satisfies,
)

HIDDEN_MANIFESTS = Version("0.2.0.dev0")  # of research-data: older ones see asset.json alone
VARIABLE = "RESEARCH_RELEASES"


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


def start_under_requirements(member: Member) -> None:
    """Start this process again if releases must run in it that don't.

    Raises RequirementError when what the paper requires can't be had.
    """
    decided = _decided()
    if decided is None:
        environment = environment_under(member, pid=os.getpid())
        if VARIABLE in environment:
            _start_again(environment, ["--paper", member.distribution])
        return
    if decided["pid"] not in (None, os.getpid()):
        leave_releases()
    if decided["paper"] != member.distribution:
        raise RequirementError(
            f"this was started to run {decided['paper']} under releases of our packages, and they "
            f"take it for {member.distribution}. Say which one is meant: --paper NAME"
        )
    for name, (version, *_) in decided["releases"].items():
        if installed_version(name) != version:
            raise RequirementError(
                f"{member.distribution} was started under {name} {version}, but this process "
                f"imports {installed_version(name)}: is PYTHONPATH ignored (python -I, -E)?"
            )


def leave_releases() -> None:
    """Start this process again without the releases that it inherited, if it did."""
    if VARIABLE in os.environ:
        _start_again(without_releases())


def running_releases(member: Member) -> dict[str, str]:
    """Name -> sha256 of the wheel, of the releases that this process imports for a member.

    Raises RequirementError where what is imported is not what was released.
    """
    found = {}
    for name, package in internal_packages(member.workspace).items():
        spec = find_spec(name.replace("-", "_"))
        folder = Path(spec.origin).parent.parent if spec and spec.origin else None
        if folder is None or folder.parent.name != CACHE:
            continue
        version = installed_version(name)
        for release in releases(package):
            if str(release.version) == version and not differences(release.wheel, folder):
                found[name] = release.sha256
                break
        else:
            raise RequirementError(
                f"{folder}: this process imports {name} {version} from here, and it is no release "
                "as it was made. Start it anew."
            )
    return found


def needs_another_process(member: Member) -> bool:
    """Whether a member runs under releases that this process doesn't. Raises RequirementError."""
    decided = _decided()
    if decided is not None and decided["paper"] == member.distribution:
        return False
    return any(choice.release for choice in choose_versions(member).values())


def environment_under(
    member: Member, instead: Iterable[Choice] = (), pid: int | None = None
) -> dict[str, str]:
    """The environment in which a process runs under a member's requirements.

    instead: versions to run in place of those chosen. pid: of the process that may take this as
    decided, None for any. Raises RequirementError when what is required can't be had.
    """
    chosen = choose_versions(member) | {choice.name: choice for choice in instead}
    released = [(choice, choice.release) for choice in chosen.values() if choice.release]
    environment = without_releases()
    if released:
        before = environment.get("PYTHONPATH")
        folders = [str(unpacked(release)) for _, release in released]
        environment["PYTHONPATH"] = os.pathsep.join([*folders, *([before] if before else [])])
        versions = {choice.name: [str(choice.version)] for choice, _ in released}
        decided = _Decided(paper=member.distribution, pid=pid, releases=versions)
        environment[VARIABLE] = json.dumps(decided)
        data = chosen.get("research-data")
        if data is not None and data.release is not None and data.version < HIDDEN_MANIFESTS:
            show_manifests()
    return environment


def without_releases() -> dict[str, str]:
    """This process's environment without what a hand-over has added, whoever's it was."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    paths = environment.get("PYTHONPATH", "").split(os.pathsep)
    kept = [path for path in paths if Path(path).parent.name != CACHE]
    if kept == paths:
        return environment
    environment["PYTHONPATH"] = os.pathsep.join(kept)
    if not kept:
        del environment["PYTHONPATH"]
    return environment


def choose_versions(member: Member) -> dict[str, Choice]:
    """The version of each internal package that a member reaches, directly or through others.

    Raises RequirementError: no version there is fits, or a release needs another version of some
    other package than the lock has.
    """
    internal = internal_packages(member.workspace)
    provider = _Provider(internal)
    _refuse_what_is_not_there(member, internal)
    wanted = [
        _Wanted(requirement, member.distribution)
        for requirement in required_by(member)
        if canonicalize_name(requirement.name) in internal
    ]
    try:
        result = Resolver(provider, BaseReporter()).resolve(wanted, max_rounds=10_000)
    except ResolutionImpossible as error:
        raise RequirementError(_why_impossible(error, provider, member)) from error
    for choice in result.mapping.values():
        if choice.release is not None:
            _check_others(choice, internal, member.distribution)
    return dict(sorted(result.mapping.items()))


class _Decided(TypedDict):
    paper: str
    pid: int | None
    releases: dict[str, list[str]]


def _decided() -> _Decided | None:
    """What the process that started this one has chosen."""
    text = os.environ.get(VARIABLE) or "null"
    try:
        decided: _Decided | None = json.loads(text)
        if decided is not None:
            _ = (decided["paper"], decided["pid"], decided["releases"].items())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise RequirementError(f"{VARIABLE} is {brief(text)}: ours to set. Unset it.") from error
    return decided


def _start_again(environment: Mapping[str, str], words: Sequence[str] = ()) -> NoReturn:
    """Become the same command in another environment. words: added where --paper isn't named."""
    again = list(sys.orig_argv[1:])
    if words and not any(w == words[0] or w.startswith(f"{words[0]}=") for w in again):
        again += words
    start_again(dict(environment), again)


def _refuse_what_is_not_there(member: Member, internal: Mapping[str, Path]) -> None:
    """A requirement that nothing answers to would be no requirement: a misspelt pin, say."""
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

    def __str__(self) -> str:
        return f"{self.by} requires {self.requirement}"


class _Provider(AbstractProvider[_Wanted, Choice, str]):
    """Tells resolvelib what versions there are: the workspace's, then the newest release first."""

    def __init__(self, internal: Mapping[str, Path]):
        self.internal = internal

    def versions(self, name: str) -> Iterator[Choice]:
        here = _workspace_version(name, self.internal[name])
        if here is not None:
            yield Choice(name, Version(here))
        for release in releases(self.internal[name]):
            yield Choice(name, release.version, release)

    def identify(self, requirement_or_candidate: _Wanted | Choice) -> str:
        if isinstance(requirement_or_candidate, Choice):
            return requirement_or_candidate.name
        return canonicalize_name(requirement_or_candidate.requirement.name)

    def get_preference(self, identifier, resolutions, candidates, information, backtrack_causes):  # type: ignore[no-untyped-def]
        return identifier

    def find_matches(self, identifier, requirements, incompatibilities):  # type: ignore[no-untyped-def]
        wanted = list(requirements[identifier])
        excluded = set(incompatibilities[identifier])
        return (
            choice
            for choice in self.versions(identifier)
            if choice not in excluded and all(self.is_satisfied_by(each, choice) for each in wanted)
        )

    def is_satisfied_by(self, requirement: _Wanted, candidate: Choice) -> bool:
        return satisfies(candidate.version, requirement.requirement.specifier)

    def get_dependencies(self, candidate: Choice) -> list[_Wanted]:
        by = f"{candidate.name} {candidate.version}"
        return [
            _Wanted(requirement, by)
            for requirement in candidate.requires()
            if canonicalize_name(requirement.name) in self.internal
        ]


def _workspace_version(name: str, folder: Path) -> str | None:
    """The version of the workspace's own code. Raises RequirementError after a switch of branches.

    An editable install says what its pyproject.toml said when it was last synced.
    """
    here = installed_version(name)
    if here is None or installed_from(importlib.metadata.distribution(name)) != folder.resolve():
        return here
    file = folder / "pyproject.toml"
    try:
        written = str(table_of(read_toml(file), "project", path=file).get("version"))
        same = Version(written) == Version(here)
    except (UnreadableError, InvalidVersion) as error:
        raise RequirementError(f"{file}: its version can't be read ({error}).") from error
    if not same:
        raise RequirementError(
            f"{folder} is {name} {written} now, and this environment took it for {here} "
            "when it was last synced. `uv sync` puts that right."
        )
    return here


def _why_impossible(
    error: "ResolutionImpossible[_Wanted, Choice]", provider: _Provider, member: Member
) -> str:
    wanted = list(dict.fromkeys(cause.requirement for cause in error.causes))
    parts = [" and ".join(map(str, wanted))]
    for name in dict.fromkeys(provider.identify(each) for each in wanted):
        here = installed_version(name) or "none"
        released = [str(release.version) for release in releases(provider.internal[name])]
        parts.append(
            f"the workspace has {name} {here}; released are {', '.join(released) or 'none'}"
        )
    return (
        f"{'; '.join(parts)}. Nothing runs under another version than the one required. "
        f"Change the requirement in {member.folder / 'pyproject.toml'}, or `research-cli paper "
        f"pin {member.name} PACKAGE`, which takes the newest release."
    )


def _check_others(choice: Choice, internal: Mapping[str, Path], distribution: str) -> None:
    """That the lock has what a release requires besides the internal packages."""
    for requirement in choice.requires():
        if canonicalize_name(requirement.name) in internal:
            continue
        there = installed_version(requirement.name)
        if there is None:
            raise RequirementError(
                f"{choice.name} {choice.version} requires {requirement}, which nothing here "
                f"installs any more: `uv add --package {distribution} '{requirement}'`"
            )
        if not requirement.specifier.contains(there, prereleases=True):
            raise RequirementError(
                f"{choice.name} {choice.version} requires {requirement}, and this environment has "
                f"{requirement.name} {there}. One lock holds one version of it for all "
                f"papers: constrain it in the root pyproject.toml "
                f'(constraint-dependencies = ["{requirement}"]) and `uv lock`, or require a newer '
                f"{choice.name}."
            )
