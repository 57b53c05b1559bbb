"""Unpack code from a source archive, to run it apart from the tree that is being edited.

assets/outputs/.sources/<sha256>.tar.gz   the archive, see code/archive.py
               .reruns/<sha256>/          its content; uv adds .venv, the environment of its lock
"""

import hashlib
import os
import tarfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from research_data import get_assets_dir, get_outputs_dir
from research_data.durable import new_folder, sha256_file

from research_train.code.git import OF_ONE_REPOSITORY
from research_train.errors import RunError
from research_train.experiment.pyproject import read_pyproject
from research_train.record.folders import RERUNS, SOURCES

# Variables that are removed for the child, where they would point to another workspace or Python.
FOREIGN = frozenset(
    {
        "PYTHONHOME",
        "PYTHONPATH",
        "RESEARCH_RELEASES",
        "UV_LOCKED",
        "UV_NO_SYNC",
        "UV_PROJECT",
        "UV_PROJECT_ENVIRONMENT",
        "UV_WORKING_DIR",
        "VIRTUAL_ENV",
    }
)


@dataclass(frozen=True)
class UnpackedCode:
    """A small workspace with the code of a run, or of one to come.

    folder: its root. distribution: the paper's name for uv. generated: the names of the datasets
    that the paper's code makes.
    """

    folder: Path
    distribution: str
    generated: frozenset[str]

    def environment(self) -> dict[str, str]:
        """The variables under which it runs: this process's, but for this workspace's own."""
        own = {k: v for k, v in os.environ.items() if k not in {*FOREIGN, *OF_ONE_REPOSITORY}}
        return own | {
            "RESEARCH_ASSETS": str(get_assets_dir()),
            # The tree may be inside a repository, whose commit isn't that of this code.
            "GIT_CEILING_DIRECTORIES": str(self.folder.resolve().parent),
        }


def find_archive(sha256: str) -> Path:
    """The source archive with this sha256, checked. Raises RunError if it is gone or damaged."""
    path = get_outputs_dir() / SOURCES / f"{sha256}.tar.gz"
    try:
        seen = sha256_file(path)
    except OSError as error:
        raise RunError(
            f"{path}: the archive of the run's code can't be read ({error.strerror}). Put it back "
            "from a copy of the outputs, or import an export of the run."
        ) from error
    if seen != sha256:
        raise RunError(
            f"{path}: damaged, its sha256 is {seen}, not the one in its name. Put it back from a "
            "copy of the outputs, or import an export of the run."
        )
    return path


def unpack_code(source: str, experiment: str) -> UnpackedCode:
    """Unpack code to run an experiment; if that was done before, compare it with the archive.

    source: the sha256 of its archive, as a record has it. Raises RunError if the archive is gone
    or damaged, or the unpacked files have been changed; StorageError.
    """
    archive = find_archive(source)
    folder = get_outputs_dir() / RERUNS / source
    try:
        with tarfile.open(archive) as stored:
            if not folder.is_dir():
                # Another rerun may have unpacked it meanwhile; then that folder is used.
                with suppress(FileExistsError), new_folder(folder) as partial:
                    stored.extractall(partial, filter="data")
            names = _compared(stored, folder)
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise RunError(f"{archive}: cannot be unpacked ({error})") from error
    for name in names:
        if Path(name).name != "pyproject.toml" or "tests" in Path(name).parts:
            continue
        pyproject = read_pyproject((folder / name).parent)
        if experiment in pyproject.experiments:
            return UnpackedCode(folder, pyproject.name, frozenset(pyproject.generated))
    raise RunError(f"{archive}: none of the pyproject.toml in it has the experiment {experiment}")


def _compared(stored: tarfile.TarFile, folder: Path) -> list[str]:
    """The names of an archive's files, checked to be the same in folder. Raises RunError."""
    names = []
    for entry in stored:
        content = stored.extractfile(entry) if entry.isfile() else None
        if content is None:
            continue
        path = folder / entry.name
        digest = hashlib.sha256(content.read()).hexdigest()
        if not path.is_file() or sha256_file(path) != digest:
            raise RunError(
                f"{path} was changed after it was unpacked. Remove {folder}, and the code is "
                "unpacked again."
            )
        names.append(entry.name)
    return names
