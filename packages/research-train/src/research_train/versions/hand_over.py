"""Start a process under the versions of our packages that a paper requires.

**The hand-over.** `train` and `evaluate` of any version do this and no more: if a release is chosen
they start themselves again (same process, interpreter and arguments, with --paper NAME if none was
given), with the unpacked releases first on PYTHONPATH, and with this in the environment:

    RESEARCH_RELEASES={"paper": "paper-old", "pid": 4711, "releases": {"research-train": ["0.1.0"]}}

A process that finds its own pid there accepts that choice. One that inherited the variable (a
`train` inside of a `train`, a shell under `paper exec`) starts again without it, so that the newest
code always decides. A pid of null is accepted by any process: it is for running other versions on
purpose (`package impact`).

Never rename these, because the scripts of a workspace start them in any release: the functions
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

HIDDEN_MANIFESTS = Version("0.2.0.dev0")  # research-data before this reads only asset.json
VARIABLE = "RESEARCH_RELEASES"


def start_under_requirements(member: Member) -> None:
    """Start this process again if the paper requires releases that it doesn't run yet.

    Raises RequirementError if no version satisfies what the paper requires.
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
            f"this was started to run {decided['paper']} under releases of our packages, but they "
            f"found the paper {member.distribution}. Name the one that is meant: --paper NAME"
        )
    for name, (version, *_) in decided["releases"].items():
        if installed_version(name) != version:
            raise RequirementError(
                f"{member.distribution} was started under {name} {version}, but this process "
                f"imports {installed_version(name)}: is PYTHONPATH ignored (python -I, -E)?"
            )


def has_releases(member: Member) -> bool:
    """Whether what the paper requires is a release, whose own code runs then."""
    return VARIABLE in environment_under(member, pid=None)


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
                f"{folder}: this process imports {name} {version} from here, but its files are not "
                "those of the release. Start it again."
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

    instead: versions to run in place of those chosen. pid: of the process that may accept this
    choice, None for any. Raises RequirementError if no version satisfies what is required.
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
    """This process's environment without what any hand-over has added."""
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
    """Start the same command again in another environment. words: added if --paper isn't given."""
    again = list(sys.orig_argv[1:])
    if words and not any(w == words[0] or w.startswith(f"{words[0]}=") for w in again):
        again += words
    start_again(dict(environment), again)
