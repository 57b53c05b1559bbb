"""A run in one file: what a colleague needs to look at it, verify it and run it again.

A plain tar, so that `tar tf` shows what it holds: manifest.json first, with size and sha256 of
every other file; run/ with record, config, metrics, evaluation, figures and the checkpoints chosen;
source/<sha256>.tar.gz, the code. Equal content gives equal bytes. Trackers' folders stay at home:
they are made from metrics.jsonl. It is as trustworthy as whoever made it: what it says of itself is
checked, not who said it.
"""

import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError
from research_data import AssetError, UsageError, get_outputs_dir
from research_data.assets.manifest import FileEntry, check_file_names, why_no_name
from research_data.assets.publish import refuse_full_disk
from research_data.assets.tar_archive import (
    ArchiveReader,
    export_target,
    read_archive,
    write_archive,
)
from research_data.assets.verify import sha256_of
from research_data.durable import fsync_file, new_folder, sha256_file
from research_data.progress import BytesProgress
from research_data.shown import say

from research_train.code.archive import LARGEST_FILE, shown_name
from research_train.code.secret_files import holds_secret, is_secret_name
from research_train.errors import RunError
from research_train.history.unpacked_code import find_archive
from research_train.record.folders import CHECKPOINTS, CONFIG, METRICS, RECORD, SOURCES
from research_train.record.lock import LOCK
from research_train.record.record import (
    RunRecord,
    checkpoint_digests,
    checkpoint_folders,
    compute_seal,
    read_record,
)
from research_train.record.summary import RunSummary, seal_state, summarise

FORMAT = 1
MANIFEST = "manifest.json"
TRACKERS = ("tensorboard", "wandb")
ASIDE = ".source.tar.gz"  # in a run that is being imported: its code, until all is verified

Checkpoints = Literal["last", "all", "none"]


class Manifest(BaseModel):
    """The content of manifest.json. source: sha256 of the code's archive. files: by name."""

    format: int = FORMAT
    paper: str
    run: str
    source: str
    files: dict[str, FileEntry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files.values())


@dataclass(frozen=True)
class Imported:
    """A run that was imported. already_here: it was here before, the same."""

    run: RunSummary
    already_here: bool


def export_run(
    run: RunSummary,
    path: Path = Path(),
    checkpoints: Checkpoints = "last",
    *,
    quiet: bool = False,
) -> Path:
    """Write a run that has ended as one file; path is the file, or the folder for it.

    checkpoints: of `none` the last one's manifest is there all the same: the seal covers it, and it
    says what the weights were. Returns the file. Raises UsageError when it exists or its folder
    doesn't, RunError when the run is at work, or it or its code is damaged, StorageError.
    """
    record = _sound_record(run)
    target = export_target(path, f"{run.id}.tar")
    source = find_archive(record.source)
    names = _run_files(run.folder, checkpoints)
    if unnamed := [name for name in names if shown_name(name) != name]:
        shown = ", ".join(map(shown_name, unnamed))
        say(f"warning: not exported, since their names aren't UTF-8: {shown}")
        names = [name for name in names if name not in unnamed]
    secrets = [name for name in names if _is_secret(run.folder, name)]
    if secrets:
        shown = ", ".join(map(shown_name, secrets))
        say(f"warning: not exported, as secrets: {shown}")
    if within := _secrets_in(source):  # archived before they were left out, or tracked by git
        shown = ", ".join(map(shown_name, within))
        say(
            f"warning: the code of {run.id} holds what may be secrets, and its sha256 is in the "
            f"record, so it is exported whole: {shown}. Look at them before you hand the file on."
        )
    files = {f"run/{name}": run.folder / name for name in names if name not in secrets}
    files[_source_name(record.source)] = source
    check_file_names(files)
    size = sum(file.stat().st_size for file in files.values())
    with BytesProgress(f"export {run.id}", 2 * size, quiet) as progress:
        entries = {
            name: FileEntry(size=file.stat().st_size, sha256=sha256_of(file, progress.update))
            for name, file in sorted(files.items())
        }
        _refuse_damaged_weights(run.folder, entries, "exported")
        manifest = Manifest(paper=record.paper, run=record.id, source=record.source, files=entries)
        content = manifest.model_dump_json(indent=1).encode() + b"\n"
        write_archive(
            target,
            (MANIFEST, content),
            {name: (files[name], entry) for name, entry in entries.items()},
            progress.update,
            lambda name, wrong: RunError(f"{files[name]} {wrong}. It was changed: export again."),
        )
    return target


def import_run(path: Path, *, quiet: bool = False) -> Imported:
    """Take a file of `export_run` into the outputs; nothing is seen of it before all is verified.

    Raises UsageError when there is no such file, RunError for one that is damaged, holds what it
    shouldn't, or whose run is here with other content, AssetError when it doesn't fit,
    StorageError.
    """
    path = path.expanduser()
    if not path.is_file():
        raise UsageError(f"{path} is no file to import")
    with read_archive(path, [MANIFEST], "a run", RunError) as archive:
        manifest = _parse_manifest(archive)
        folder = get_outputs_dir() / manifest.paper / manifest.run
        refuse_full_disk(folder, manifest.size, manifest.run)
        return _take_in(archive, manifest, folder, quiet)


# Out


def _sound_record(run: RunSummary) -> RunRecord:
    if run.record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    if run.status == "running":
        raise RunError(f"{run.id} is running: it can't be exported before it has ended")
    if run.record.id != run.id:
        raise RunError(f"{run.folder} was copied by hand: its record is of {run.record.id}")
    if seal_state(run) == "broken":
        raise RunError(
            f"{run.folder}: its seal is broken: record, config, metrics or weights were changed "
            "after its end. It is evidence of nothing, and isn't exported; put back what was "
            "changed."
        )
    return run.record


def _run_files(folder: Path, checkpoints: Checkpoints) -> list[str]:
    """The names of the files to export: nothing hidden, linked, or of trackers."""
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
    """Whether a file of the run, beside those that make it one, holds a secret."""
    if name in (RECORD, CONFIG, METRICS) or name.startswith(f"{CHECKPOINTS}/"):
        return False
    file = folder / name
    if is_secret_name(name):
        return True
    return file.stat().st_size <= LARGEST_FILE and holds_secret(file.read_bytes())


def _secrets_in(archive: Path) -> list[str]:
    """The files of an archive of code that are secrets by their name or content."""
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


def _refuse_damaged_weights(folder: Path, entries: dict[str, FileEntry], done: str) -> None:
    """The seal covers the checkpoints' manifests, and these the weights: see that they fit."""
    for name, digest in checkpoint_digests(folder).items():
        entry = entries.get(f"run/{CHECKPOINTS}/{name}")
        if entry is not None and entry.sha256 != digest:
            raise RunError(
                f"{folder / CHECKPOINTS / name}: damaged, its sha256 isn't what {MANIFEST} beside "
                f"it says. Nothing was {done}."
            )


def _source_name(sha256: str) -> str:
    return f"source/{sha256}.tar.gz"


# In


def _parse_manifest(archive: ArchiveReader) -> Manifest:
    """The manifest of an export, whose names stay in their folders. Raises RunError."""
    path = archive.path
    if archive.root:
        raise RunError(
            f"{path} is no export of a run: its {MANIFEST} lies in {archive.root[:80]!r}"
        )
    try:
        manifest = Manifest.model_validate_json(archive.manifest)
        check_file_names(manifest.files)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in wrong["loc"])
        raise RunError(f"{path}: {MANIFEST} can't be understood: {where}{wrong['msg']}") from error
    except AssetError as error:
        raise RunError(f"{path}: {error}. Nothing was imported.") from error
    if manifest.format > FORMAT:
        raise RunError(
            f"{path}: format {manifest.format}, this version reads up to {FORMAT}. Use a newer "
            "research-train."
        )
    for name in (manifest.paper, manifest.run):
        if "/" in name or why_no_name(name):
            raise RunError(f"{path}: {name[:80]!r} can be no paper's or run's name")
    for name in manifest.files:
        top, *below = name.split("/")
        hidden = any(part.startswith(".") for part in below)
        if name != _source_name(manifest.source) and (top != "run" or not below or hidden):
            raise RunError(f"{path}: {name[:80]!r} is no file of a run. Nothing was imported.")
    return manifest


def _take_in(archive: ArchiveReader, manifest: Manifest, folder: Path, quiet: bool) -> Imported:
    """Unpack beside, verify, publish."""
    path, already_here = archive.path, False
    source = _source_name(manifest.source)
    try:
        with (
            new_folder(folder) as partial,
            BytesProgress(f"import {manifest.run}", manifest.size, quiet) as progress,
        ):
            archive.unpack(
                manifest.files,
                lambda name: partial / (ASIDE if name == source else name.removeprefix("run/")),
                progress.update,
            )
            _check_evidence(partial, manifest, path)
            _refuse_other_content(folder, manifest, path)
            (partial / LOCK).touch()  # as every run has one; without, it would count as a copy
            sources = get_outputs_dir() / SOURCES
            sources.mkdir(parents=True, exist_ok=True)
            fsync_file(partial / ASIDE)
            (partial / ASIDE).replace(sources / f"{manifest.source}.tar.gz")
            fsync_file(sources)
    except FileExistsError:
        _refuse_other_content(folder, manifest, path)  # another import may just have been first
        already_here = True
    finally:
        with suppress(OSError):  # it has runs in it
            folder.parent.rmdir()
    return Imported(summarise(folder), already_here)


def _check_evidence(partial: Path, manifest: Manifest, path: Path) -> None:
    """What was unpacked is the run that the manifest names, with its code, and its seal fits."""
    try:
        record = read_record(partial)
        unsealed = record.seal is None and record.status != "completed"
        sealed = unsealed or compute_seal(partial, record) == record.seal
    except RunError as error:
        shown = str(error).replace(f"{partial}", "run")
        raise RunError(f"{path}: {shown}. Nothing was imported.") from error
    if (record.id, record.paper, record.source) != (manifest.run, manifest.paper, manifest.source):
        raise RunError(
            f"{path}: {RECORD} is of {record.paper}/{record.id}, {MANIFEST} of "
            f"{manifest.paper}/{manifest.run}, or their code differs. Nothing was imported."
        )
    if not (partial / ASIDE).is_file() or sha256_file(partial / ASIDE) != record.source:
        raise RunError(f"{path}: holds not the code {record.source}. Nothing was imported.")
    _refuse_damaged_weights(partial, manifest.files, "imported")
    if not sealed:
        raise RunError(
            f"{path}: the seal of {record.id} is broken: record, config, metrics or weights were "
            "changed after its end. Nothing was imported."
        )


def _refuse_other_content(folder: Path, manifest: Manifest, path: Path) -> None:
    """Refuse an import when its run is here and isn't the same. Raises RunError."""
    if not folder.exists():
        return
    for name, entry in manifest.files.items():
        file = folder / name.removeprefix("run/")
        if name == _source_name(manifest.source):
            continue
        if not file.is_file() or sha256_file(file) != entry.sha256:
            how = "isn't the same" if file.is_file() else "is missing in it"
            raise RunError(
                f"{folder} is here and differs from {path}: {file.name} {how}. Nothing was "
                "imported: remove that run first (`research-cli run remove`), or set "
                "RESEARCH_ASSETS to another folder."
            )
