"""Change a workspace's members completely or not at all.

A kill puts nothing back. So uv works on copies elsewhere, and the results are moved into place
in an order in which every step leaves a workspace that runs: uv.lock first, since `uv run --frozen`
refuses a member that the lock lacks, but not one that only the lock has.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from research_data.durable import write_bytes
from research_data.errors import ResearchError
from research_data.lock import locked
from research_data.plain_files import read_toml
from research_train.errors import CommandError
from research_train.experiment.workspace_members import workspace_members
from research_train.processes.children import output_of
from research_train.versions.hand_over import without_releases

LOCK = "uv.lock"


def call(command: Sequence[str], folder: Path, problem: str) -> None:
    """Run a command in a folder. Raises ResearchError: the problem, and what the command said."""
    try:
        output_of(command, folder, without_releases())
    except CommandError as error:
        said = error.said.removeprefix("error: ") or str(error)
        if "Traceback" in said:
            said = said.splitlines()[-1]
        raise ResearchError(f"{problem}: {said}\nNothing was changed.") from error


@contextmanager
def restored_on_failure(files: Sequence[Path]) -> Iterator[None]:
    """Put the files back as they are when this block is left by an exception."""
    contents = {file: file.read_bytes() if file.is_file() else None for file in files}
    try:
        yield
    except BaseException:
        for file, content in contents.items():
            if content is None:
                file.unlink(missing_ok=True)
            else:
                write_bytes(file, content)
        raise


@contextmanager
def alone(workspace: Path) -> Iterator[None]:
    """Hold the workspace against others that change its members; clears what a killed one left.

    Raises StorageError.
    """
    with locked(workspace / "pyproject.toml"):
        for left in (*workspace.glob(".*.partial"), *workspace.glob("p*/.*.partial")):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        yield


def renewed_lock(workspace: Path, pyprojects: Mapping[str, bytes]) -> bytes:
    """What uv.lock will be with these pyproject.tomls, `papers/x` -> content; changes nothing.

    Without a network with what uv's cache has, if that changes nothing else. Raises ResearchError.
    """
    with tempfile.TemporaryDirectory(prefix="uv-lock-") as temporary:
        copy = Path(temporary).resolve()
        for name in ("pyproject.toml", "uv.toml", LOCK):
            with suppress(FileNotFoundError):
                shutil.copyfile(workspace / name, copy / name)
        contents = {
            member.folder.relative_to(workspace).as_posix(): (
                member.folder / "pyproject.toml"
            ).read_bytes()
            for member in workspace_members(workspace)
        }
        for place, content in {**contents, **pyprojects}.items():
            (copy / place).mkdir(parents=True)
            (copy / place / "pyproject.toml").write_bytes(content)
        before = _versions(copy)
        lock = ["uv", "lock", "--project", str(copy), "--python", sys.executable]
        try:
            call(lock, copy, "the lock can't be renewed")
        except ResearchError:
            with suppress(ResearchError):  # the first message is the one to show
                call([*lock, "--offline"], copy, "")
                if before and before <= _versions(copy):
                    return (copy / LOCK).read_bytes()
            raise
        return (copy / LOCK).read_bytes()


def _versions(workspace: Path) -> set[tuple[str, str]]:
    """Name and version of all that the lock holds from outside."""
    lock = workspace / LOCK
    if not lock.is_file():
        return set()
    packages = read_toml(lock).get("package", [])
    return {(p["name"], p.get("version", "")) for p in packages if "registry" in p["source"]}
