"""Which versions of the internal packages a paper runs, and a process that runs them.

The workspace's own code runs where its version is what the paper requires, else the newest release
that is (releases.py), else nothing. uv itself ignores a specifier on a workspace source.

**The hand-over.** `train` and `evaluate` of any version do this and no more: where a release is
chosen they start themselves again (the same interpreter, the same words) with the unpacked releases
first on PYTHONPATH and in the environment

    RESEARCH_RELEASES={"paper": "paper-old", "releases": {"research-train": ["0.1.0", "<sha256>"]}}

A process that finds this for the paper it is about to run takes it as decided; for another paper
(a `train` inside of a `train`) it starts again without it, so the newest code always decides.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, Resolver

from research_train.errors import RequirementError
from research_train.members import Member
from research_train.releases import Release, cache, releases, unpacked
from research_train.requirements import (
    installed_version,
    internal_packages,
    required_by,
    requirements_of,
    satisfies,
)

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
    if decided is not None and decided["paper"] == member.distribution:
        for name, (version, _) in decided["releases"].items():
            if installed_version(name) != version:
                raise RequirementError(
                    f"{member.distribution} was started under {name} {version}, but this process "
                    f"imports {installed_version(name)}: is PYTHONPATH ignored (python -I, -E)?"
                )
        return
    environment = environment_under(member) if decided is None else _without_releases()
    if environment != dict(os.environ):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def needs_another_process(member: Member) -> bool:
    """Whether a member runs under releases that this process doesn't. Raises RequirementError."""
    decided = _decided()
    if decided is not None and decided["paper"] == member.distribution:
        return False
    return any(choice.release for choice in choose_versions(member).values())


def running_releases(member: Member) -> dict[str, str]:
    """Name -> sha256 of the wheel, of the releases that this process runs for a member."""
    decided = _decided()
    if decided is None or decided["paper"] != member.distribution:
        return {}
    return {name: sha256 for name, (_, sha256) in decided["releases"].items()}


def environment_under(member: Member, instead: Iterable[Choice] = ()) -> dict[str, str]:
    """The environment in which a process runs under a member's requirements.

    instead: versions to run in place of those chosen. Raises RequirementError when what is
    required can't be had.
    """
    chosen = choose_versions(member) | {choice.name: choice for choice in instead}
    released = [(choice, choice.release) for choice in chosen.values() if choice.release]
    environment = _without_releases()
    if released:
        before = environment.get("PYTHONPATH")
        folders = [str(unpacked(release)) for _, release in released]
        environment["PYTHONPATH"] = os.pathsep.join([*folders, *([before] if before else [])])
        hashes = {choice.name: (str(choice.version), each.sha256) for choice, each in released}
        decided = _Decided(paper=member.distribution, releases=hashes)
        environment[VARIABLE] = json.dumps(decided)
    return environment


def choose_versions(member: Member) -> dict[str, Choice]:
    """The version of each internal package that a member reaches, directly or through others.

    Raises RequirementError: no version there is fits, or a release needs another version of some
    other package than the lock has.
    """
    internal = internal_packages(member.workspace)
    provider = _Provider(internal)
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
            _check_others(choice, internal)
    return dict(sorted(result.mapping.items()))


class _Decided(TypedDict):
    paper: str
    releases: dict[str, tuple[str, str]]


def _decided() -> _Decided | None:
    """What the process that started this one has chosen."""
    decided: _Decided | None = json.loads(os.environ.get(VARIABLE) or "null")
    return decided


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
        here = installed_version(name)
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


def _why_impossible(
    error: "ResolutionImpossible[_Wanted, Choice]", provider: _Provider, member: Member
) -> str:
    wanted = list(dict.fromkeys(cause.requirement for cause in error.causes))
    parts = [" and ".join(map(str, wanted))]
    for name in dict.fromkeys(provider.identify(each) for each in wanted):
        here, *_ = [installed_version(name) or "none"]
        released = [str(release.version) for release in releases(provider.internal[name])]
        parts.append(
            f"the workspace has {name} {here}; released are {', '.join(released) or 'none'}"
        )
    return (
        f"{'; '.join(parts)}. Nothing runs under another version than the one required. "
        f"Change the requirement in {member.folder / 'pyproject.toml'}, or `research-cli paper "
        f"pin {member.name} PACKAGE`, which takes the newest release."
    )


def _check_others(choice: Choice, internal: Mapping[str, Path]) -> None:
    """That the lock has what a release requires besides the internal packages."""
    for requirement in choice.requires():
        if canonicalize_name(requirement.name) in internal:
            continue
        there = installed_version(requirement.name)
        if there is None or not requirement.specifier.contains(there, prereleases=True):
            raise RequirementError(
                f"{choice.name} {choice.version} requires {requirement}, and this environment has "
                f"{requirement.name} {there or '(none)'}. One lock holds one version of it for all "
                f"papers: constrain it in the root pyproject.toml "
                f'(constraint-dependencies = ["{requirement}"]) and `uv lock`, or require a newer '
                f"{choice.name}."
            )


def _without_releases() -> dict[str, str]:
    """This process's environment without what a hand-over has added."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    ours = str(cache())
    kept = [
        path
        for path in environment.pop("PYTHONPATH", "").split(os.pathsep)
        if path and not path.startswith(ours + os.sep)
    ]
    if kept:
        environment["PYTHONPATH"] = os.pathsep.join(kept)
    return environment
