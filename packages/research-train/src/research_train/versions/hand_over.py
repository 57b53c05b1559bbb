"""Start a process under the versions of our packages that a paper requires.

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

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, TypedDict

from packaging.version import Version
from research_data.assets.catalog import show_manifests
from research_data.shown import brief

from research_train.errors import RequirementError
from research_train.experiment.members import Member
from research_train.processes.children import start_again
from research_train.versions.choice import Choice, choose_versions
from research_train.versions.releases import CACHE, differences, releases, unpacked
from research_train.versions.requirements import installed_version, internal_packages

HIDDEN_MANIFESTS = Version("0.2.0.dev0")  # of research-data: older ones see asset.json alone
VARIABLE = "RESEARCH_RELEASES"


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
