"""Unpack an old run's code from its source archive, to run it again.

assets/outputs/.sources/<sha256>.tar.gz   the archive, see code/archive.py
               .reruns/<sha256>/          its content; uv adds .venv, the environment of its lock
"""

import hashlib
import tarfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from research_data import get_outputs_dir
from research_data.durable import new_folder, sha256_file

from research_train.errors import RunError
from research_train.experiment.pyproject import read_pyproject
from research_train.record.folders import RERUNS, SOURCES
from research_train.record.record import RunRecord


@dataclass(frozen=True)
class UnpackedCode:
    """A small workspace with the code of a run.

    folder: its root. distribution: the paper's name for uv. generated: the names of the datasets
    that the paper's code makes.
    """

    folder: Path
    distribution: str
    generated: frozenset[str]


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


def unpack_code(record: RunRecord) -> UnpackedCode:
    """Unpack the code of a run; if that was done before, compare it with the archive.

    Raises RunError if the archive is gone or damaged, or the unpacked files have been changed;
    StorageError.
    """
    archive = find_archive(record.source)
    folder = get_outputs_dir() / RERUNS / record.source
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
        if record.experiment in pyproject.experiments:
            return UnpackedCode(folder, pyproject.name, frozenset(pyproject.generated))
    raise RunError(
        f"{archive}: none of the pyproject.toml in it has the experiment {record.experiment}"
    )


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
