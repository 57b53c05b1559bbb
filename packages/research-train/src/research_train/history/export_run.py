"""Export a run as one file, without trackers and secrets."""

import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from research_data.assets.manifest import FileEntry, check_file_names
from research_data.assets.tar_archive import (
    export_target,
    write_archive,
)
from research_data.assets.verify import OnBytes, sha256_of
from research_data.durable import new_folder
from research_data.errors import UsageError
from research_data.progress import BytesProgress
from research_data.shown import say

from research_train.code.archive import LARGEST_FILE, shown_name
from research_train.code.secret_files import holds_secret, is_secret_name
from research_train.errors import RunError
from research_train.history.run_archive import (
    MANIFEST,
    Manifest,
    refuse_damaged_weights,
    source_name,
)
from research_train.history.unpacked_code import find_archive
from research_train.record.folders import CHECKPOINTS, CONFIG, METRICS, RECORD
from research_train.record.record import (
    RunRecord,
    checkpoint_folders,
)
from research_train.record.summary import RunSummary

TRACKERS = ("tensorboard", "wandb")

Checkpoints = Literal["last", "all", "none"]


def export_run(
    run: RunSummary,
    path: Path = Path(),
    checkpoints: Checkpoints = "last",
    *,
    quiet: bool = False,
) -> Path:
    """Write a run that has ended into one file; path is the file, or the folder for it.

    checkpoints: even with `none`, the last checkpoint's manifest is exported: the seal covers it,
    and it has the hashes of the weights. Returns the file. Raises UsageError if the file exists or
    its folder doesn't; RunError if the run is running, or if the run or its code is damaged;
    StorageError.
    """
    record = sound_record(run)
    target = export_target(path, f"{run.id}.tar")
    files = exported_files(run.folder, record, checkpoints)
    size = sum(file.stat().st_size for file in files.values())
    with BytesProgress(f"export {run.id}", 2 * size, quiet) as progress:
        manifest = described(run, record, files, progress.update)
        write_archive(
            target,
            (MANIFEST, manifest.content),
            {name: (files[name], entry) for name, entry in manifest.files.items()},
            progress.update,
            lambda name, wrong: RunError(
                f"{files[name]} {wrong}. It was changed during the export: export again."
            ),
        )
    return target


def described(
    run: RunSummary, record: RunRecord, files: Mapping[str, Path], on_bytes: OnBytes
) -> Manifest:
    """The manifest of an export, each file hashed. Raises RunError for damaged weights."""
    entries = {
        name: FileEntry(size=file.stat().st_size, sha256=sha256_of(file, on_bytes))
        for name, file in sorted(files.items())
    }
    refuse_damaged_weights(run.folder, entries, "exported")
    return Manifest(paper=record.paper, run=record.id, source=record.source, files=entries)


def exported_files(folder: Path, record: RunRecord, checkpoints: Checkpoints) -> dict[str, Path]:
    """Name -> file of all that an export of a run holds, without trackers and secrets.

    Warns of files that are left out, and of secrets in its code. Raises RunError if the code is
    gone or damaged, AssetError for a name that other systems can't have.
    """
    source = find_archive(record.source)
    names = _run_files(folder, checkpoints)
    if unnamed := [name for name in names if shown_name(name) != name]:
        shown = ", ".join(map(shown_name, unnamed))
        say(f"warning: files not exported, since their names aren't UTF-8: {shown}")
        names = [name for name in names if name not in unnamed]
    secrets = [name for name in names if _is_secret(folder, name)]
    if secrets:
        shown = ", ".join(map(shown_name, secrets))
        say(f"warning: files not exported, since they may hold secrets: {shown}")
    if within := _secrets_in(source):  # tracked by git, or archived by an older version
        shown = ", ".join(map(shown_name, within))
        say(
            f"warning: these files in the code of {record.id} may hold secrets: {shown}. They are "
            "exported, since the record has the sha256 of the whole code. Check them before you "
            "share the export."
        )
    files = {f"run/{name}": folder / name for name in names if name not in secrets}
    files[source_name(record.source)] = source
    check_file_names(files)
    return files


def export_folder(folder: Path) -> Path:
    """The absolute path of a folder to export to.

    Raises UsageError if it exists or has no parent.
    """
    folder = folder.expanduser().absolute()
    if folder.exists() or folder.is_symlink():
        raise _exists(folder)
    if not folder.parent.is_dir():
        raise UsageError(f"the folder {folder.parent} doesn't exist; make it first")
    return folder


@contextmanager
def new_export(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` at the end. Raises UsageError if that exists now."""
    try:
        with new_folder(folder) as partial:
            yield partial
    except FileExistsError as error:
        raise _exists(folder) from error


def _exists(folder: Path) -> UsageError:
    return UsageError(f"{folder} exists; export to another name")


def sound_record(run: RunSummary) -> RunRecord:
    """The record of a run that has ended and is as it was then. Raises RunError."""
    if run.record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    if run.status == "running":
        raise RunError(f"{run.id} is running, so it can't be exported before it has ended")
    if run.record.id != run.id:
        raise RunError(
            f"{run.folder} was copied or renamed by hand: its record is that of {run.record.id}"
        )
    if run.seal_state == "broken":
        raise RunError(
            f"{run.folder}: its seal is broken: record, config, metrics or weights were changed "
            "after it ended. A changed run is not evidence, so it isn't exported. Put back what "
            "was changed."
        )
    return run.record


def _run_files(folder: Path, checkpoints: Checkpoints) -> list[str]:
    """The names of the files to export: no hidden files, links or files of trackers."""
    names = [
        file.relative_to(folder)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.is_symlink()
    ]
    last = {each.name for each in checkpoint_folders(folder)[-1:]}
    kept = []
    for name in names:
        if name.parts[0] in TRACKERS or any(part.startswith(".") for part in name.parts):
            continue
        if name.parts[0] == CHECKPOINTS:
            if not name.parts[1].startswith("step-"):
                continue  # set aside by a resume
            if checkpoints != "all" and name.parts[1] not in last:
                continue
            if checkpoints == "none" and name.name != MANIFEST:
                continue
        kept.append(name.as_posix())
    return kept


def _is_secret(folder: Path, name: str) -> bool:
    """Whether a file of the run may hold a secret; never the record, config, metrics, weights."""
    if name in (RECORD, CONFIG, METRICS) or name.startswith(f"{CHECKPOINTS}/"):
        return False
    file = folder / name
    if is_secret_name(name):
        return True
    return file.stat().st_size <= LARGEST_FILE and holds_secret(file.read_bytes())


def _secrets_in(archive: Path) -> list[str]:
    """The files in a source archive that may hold secrets, by their name or content."""
    with tarfile.open(archive) as stored:
        return [
            entry.name
            for entry in stored
            if entry.isfile()
            and (
                is_secret_name(entry.name)
                or (
                    (opened := stored.extractfile(entry)) is not None
                    and holds_secret(opened.read())
                )
            )
        ]
