"""Change a workspace's members completely or not at all.

A process that is killed can't undo its changes. So uv works on copies, and the results are moved
into place in an order that leaves a working workspace after every step: uv.lock comes first, since
`uv run --frozen` refuses a member that is missing from the lock, but not a lock that has a member
more.
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
    """Run a command. Raises ResearchError with the problem and what the command printed."""
    try:
        output_of(command, folder, without_releases())
    except CommandError as error:
        said = error.said.removeprefix("error: ") or str(error)
        if "Traceback" in said:
            said = said.splitlines()[-1]
        raise ResearchError(f"{problem}: {said}\nNothing was changed.") from error


@contextmanager
def restored_on_failure(files: Sequence[Path]) -> Iterator[None]:
    """Restore the files if this block is left by an exception."""
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
    """Lock the members against other processes that change them; remove what a killed one left.

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
    """The uv.lock that these pyproject.tomls lead to, `papers/x` -> content; changes no file.

    Without a network, uv's cache is used if no other version changes. Raises ResearchError.
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
    """Name and version of every package in the lock that comes from an index."""
    lock = workspace / LOCK
    if not lock.is_file():
        return set()
    packages = read_toml(lock).get("package", [])
    return {(p["name"], p.get("version", "")) for p in packages if "registry" in p["source"]}
