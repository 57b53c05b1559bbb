"""Make the environment of a job's code: what its lock says, beside the code.

The numbers of a training may also rest on packages that its paper doesn't require, where its code
or ours uses them if they are there: their versions are in the fingerprint. So a job gets those that
this environment has, from the lock as well.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from research_train.code.fingerprint import code_identity
from research_train.errors import CommandError
from research_train.experiment.members import Experiment
from research_train.history.unpacked_code import UnpackedCode
from research_train.processes.children import Children


def make_environment(code: UnpackedCode, experiments: Iterable[Experiment]) -> list[str]:
    """Install what a job of these experiments needs, here: a node may have no network.

    Returns the packages whose versions are others than here, as `numpy 2.4.0 (here 2.3.1)`. Raises
    CommandError.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise CommandError("uv isn't found on PATH; it is needed to set up the job's environment")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    # --inexact: other jobs may be at work in this environment, with what was added to it.
    locked = ("sync", "--frozen", "--inexact", "--python", python, "--package", code.distribution)
    _run([uv, *locked], code)
    here, there = _versions(Path(sys.prefix)), _versions(code.folder / ".venv")
    used = {name for each in experiments for name in _packages_of(each) if name in here}
    lock = _locked(code.folder / "uv.lock")
    lacking = {name for name in used - there.keys() if (name, here[name]) in lock}
    if lacking:
        lines = [_requirement(lock[name, here[name]]) for name in sorted(lacking)]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            into = ("--python", str(code.folder / ".venv" / "bin" / "python"))
            _run([uv, "pip", "install", "--no-deps", *into, "--requirements", file.name], code)
    _share_bytecode(_packages_folder(Path(sys.prefix)), _packages_folder(code.folder / ".venv"))
    return [
        f"{name} {there.get(name, 'missing')} (here {here[name]})"
        for name in sorted(used - lacking)
        if there.get(name) != here[name]
    ]


def _packages_of(experiment: Experiment) -> Mapping[str, str]:
    packages = code_identity(experiment)["packages"]
    assert isinstance(packages, dict)
    return packages


def _versions(environment: Path) -> dict[str, str]:
    """Distribution -> version of what is installed in an environment itself."""
    found = distributions(path=[str(_packages_folder(environment))])
    return {canonicalize_name(each.name): each.version for each in found}


def _packages_folder(environment: Path) -> Path:
    """Where an environment of this Python has its packages."""
    return Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))


def _share_bytecode(here: Path, there: Path) -> None:
    """Give another environment what Python has compiled for this one.

    The first jobs would otherwise compile torch and the like for seconds, each of them. Python
    itself compares what is compiled with the time and the size of its source, which are the same
    where uv links both from its cache.
    """
    for folder in here.glob("**/__pycache__"):
        into = there / folder.relative_to(here)
        if not into.parent.is_dir():
            continue
        into.mkdir(exist_ok=True)
        for file in folder.glob(f"*.{sys.implementation.cache_tag}.pyc"):
            with suppress(OSError):  # there already, or on another file system: it is compiled
                os.link(file, into / file.name)


def _locked(lock: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(name, version) -> entry of an uv.lock, of what comes from an index. Raises CommandError."""
    try:
        entries = tomllib.loads(lock.read_text())["package"]
        return {(e["name"], e["version"]): e for e in entries if "registry" in e["source"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(f"{lock}: cannot be read ({error}). Run `uv lock`") from error


def _requirement(entry: Mapping[str, Any]) -> str:
    """A line for `uv pip install`: the version and, where the lock has them, the hashes."""
    return " ".join([f"{entry['name']}=={entry['version']}", *_hashes(entry)])


def _hashes(entry: Mapping[str, Any]) -> Iterator[str]:
    for file in (entry.get("sdist", {}), *entry.get("wheels", ())):
        if "hash" in file:
            yield f"--hash={file['hash']}"


def _run(command: Sequence[str], code: UnpackedCode) -> None:
    with Children() as children:
        child = children.start(
            [*command, "--quiet"],
            code.environment(),
            whole_group=True,
            cwd=code.folder,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
        )
        child.wait()
    children.raise_if_stopped()
    if child.returncode:
        raise CommandError(
            f"the job's environment could not be made: `uv {' '.join(command[1:])}` in "
            f"{code.folder} ended with exit code {child.returncode}; see its messages above"
        )
