"""Push a run to an address of fsspec, a bucket or a folder elsewhere, and find what was pushed.

ADDRESS/<paper>/<run>/ then holds what `run export` packs into a file: run/, source/ and, last, the
manifest.json with the size and sha256 of each file.
"""

from pydantic import ValidationError
from research_data.elsewhere.store import Store, open_store
from research_data.elsewhere.transfer import Pushed, push_files
from research_data.progress import BytesProgress

from research_train.errors import RunError
from research_train.history.export_run import (
    Checkpoints,
    described,
    exported_files,
    sound_record,
)
from research_train.history.run_archive import MANIFEST
from research_train.record.folders import RECORD
from research_train.record.record import RunRecord
from research_train.record.summary import RunSummary

LARGEST_RECORD = 64 << 20  # bytes


def push_run(
    run: RunSummary, address: str, checkpoints: Checkpoints = "last", *, quiet: bool = False
) -> Pushed:
    """Push a run that has ended; the same again goes on with what is missing, or checks it all.

    checkpoints: as for `export_run`. Raises UsageError for what is no address; RunError as
    `export_run` does, and if another run of that id is there; StoreError.
    """
    record = sound_record(run)
    store = open_store(address).below(record.paper).below(record.id)
    files = exported_files(run.folder, record, checkpoints)
    _refuse_another(store, record)
    size = sum(file.stat().st_size for file in files.values())
    with BytesProgress(f"push {run.id}", 3 * size, quiet) as progress:
        manifest = described(run, record, files, progress.update)
        return push_files(
            store,
            {name: (files[name], entry) for name, entry in manifest.files.items()},
            (MANIFEST, manifest.content),
            progress.update,
        )


def _refuse_another(store: Store, record: RunRecord) -> None:
    """Refuse to write over other evidence: a run that ended there otherwise. Raises RunError.

    Tags and notes, which no seal covers, and a resume of an unfinished run are written anew.
    """
    content = store.read(f"run/{RECORD}", LARGEST_RECORD)
    if content is None:
        return
    try:
        there = RunRecord.model_validate_json(content)
    except ValidationError:  # half of one, or damaged: it is sent again
        return
    if there.seal is not None and there.seal != record.seal:
        raise RunError(
            f"{store.address} holds {record.id} with another seal: it was completed there "
            "otherwise. Nothing was pushed. Push to another address, or remove that one there."
        )
