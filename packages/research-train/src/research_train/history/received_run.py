"""Take in a run from elsewhere, once every byte, its code and its seal are verified.

An export is read from a file, a push from an address; what they bring is checked here alike.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from research_data import AssetError, get_outputs_dir
from research_data.assets.manifest import check_file_names, why_no_name
from research_data.assets.verify import OnBytes
from research_data.durable import fsync_file, new_folder, sha256_file
from research_data.progress import BytesProgress

from research_train.errors import RunError
from research_train.history.run_archive import (
    FORMAT,
    MANIFEST,
    Manifest,
    refuse_damaged_weights,
    source_name,
)
from research_train.record.folders import RECORD, SOURCES
from research_train.record.lock import LOCK
from research_train.record.record import (
    compute_seal,
    read_record,
)
from research_train.record.summary import RunSummary, summarise

ASIDE = ".source.tar.gz"  # the code in the folder of a run that is not yet verified

Fill = Callable[[Callable[[str], Path], OnBytes], None]


@dataclass(frozen=True)
class Imported:
    """A run that was imported. already_here: the same run was here before."""

    run: RunSummary
    already_here: bool


def place_of(manifest: Manifest) -> Path:
    """Where the run of a checked manifest belongs."""
    return get_outputs_dir() / manifest.paper / manifest.run


def parse_manifest(content: bytes, origin: object) -> Manifest:
    """The checked manifest of an export: no name leads out of the run's folder. Raises RunError.

    origin: where it comes from, for errors.
    """
    try:
        manifest = Manifest.model_validate_json(content)
        check_file_names(manifest.files)
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in wrong["loc"])
        raise RunError(
            f"{origin}: {MANIFEST} can't be understood: {where}{wrong['msg']}"
        ) from error
    except AssetError as error:
        raise RunError(f"{origin}: {error}. Nothing was imported.") from error
    if manifest.format > FORMAT:
        raise RunError(
            f"{origin} has format {manifest.format}, but this version reads formats up to "
            f"{FORMAT}. Use a newer research-train."
        )
    for name in (manifest.paper, manifest.run):
        if "/" in name or why_no_name(name):
            raise RunError(f"{origin}: {name[:80]!r} can't be the name of a paper or run")
    for name in manifest.files:
        top, *below = name.split("/")
        hidden = any(part.startswith(".") for part in below)
        if name != source_name(manifest.source) and (top != "run" or not below or hidden):
            raise RunError(
                f"{origin}: an export of a run has no file {name[:80]!r}. Nothing was imported."
            )
    return manifest


def take_in(manifest: Manifest, origin: object, fill: Fill, quiet: bool) -> Imported:
    """Fill a hidden folder, verify it, and only then move the run to its place.

    fill: writes each of the manifest's files to the path that it is given for a name, and counts
    the bytes. Raises RunError, StorageError.
    """
    folder, already_here = place_of(manifest), False
    source = source_name(manifest.source)
    try:
        with (
            new_folder(folder) as partial,
            BytesProgress(f"import {manifest.run}", manifest.size, quiet) as progress,
        ):
            fill(
                lambda name: partial / (ASIDE if name == source else name.removeprefix("run/")),
                progress.update,
            )
            _check_evidence(partial, manifest, origin)
            refuse_other_content(folder, manifest, origin)
            (partial / LOCK).touch()  # every run has one; without it the run would count as a copy
            sources = get_outputs_dir() / SOURCES
            sources.mkdir(parents=True, exist_ok=True)
            fsync_file(partial / ASIDE)
            (partial / ASIDE).replace(sources / f"{manifest.source}.tar.gz")
            fsync_file(sources)
    except FileExistsError:
        refuse_other_content(folder, manifest, origin)  # another import may have been quicker
        already_here = True
    finally:
        with suppress(OSError):  # not empty, as the paper has runs
            folder.parent.rmdir()
    return Imported(summarise(folder), already_here)


def _check_evidence(partial: Path, manifest: Manifest, origin: object) -> None:
    """Check that the unpacked run is the manifest's, has its code, and its seal fits."""
    try:
        record = read_record(partial)
        unsealed = record.seal is None and record.status != "completed"
        sealed = unsealed or compute_seal(partial, record) == record.seal
    except RunError as error:
        shown = str(error).replace(f"{partial}", "run")
        raise RunError(f"{origin}: {shown}. Nothing was imported.") from error
    if (record.id, record.paper, record.source) != (manifest.run, manifest.paper, manifest.source):
        raise RunError(
            f"{origin}: {RECORD} is that of {record.paper}/{record.id} and {MANIFEST} that of "
            f"{manifest.paper}/{manifest.run}, or their code differs. Nothing was imported."
        )
    if not (partial / ASIDE).is_file() or sha256_file(partial / ASIDE) != record.source:
        raise RunError(f"{origin} doesn't contain the code {record.source}. Nothing was imported.")
    refuse_damaged_weights(partial, manifest.files, "imported")
    if not sealed:
        raise RunError(
            f"{origin}: the seal of {record.id} is broken: record, config, metrics or weights were "
            "changed after it ended. Nothing was imported."
        )


def refuse_other_content(folder: Path, manifest: Manifest, origin: object) -> None:
    """Refuse an import if its run is already here and isn't the same. Raises RunError."""
    if not folder.exists():
        return
    for name, entry in manifest.files.items():
        file = folder / name.removeprefix("run/")
        if name == source_name(manifest.source):
            continue
        if not file.is_file() or sha256_file(file) != entry.sha256:
            how = "isn't the same" if file.is_file() else "is missing in it"
            raise RunError(
                f"{folder} is already here and differs from {origin}: {file.name} {how}. Nothing "
                "was imported. Remove that run first (`research-cli run remove`), or set "
                "RESEARCH_ASSETS to another folder."
            )
