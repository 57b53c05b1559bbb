"""Pull a run that was pushed to an address, going on with what arrived before."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from research_data import get_outputs_dir
from research_data.assets.manifest import why_no_name
from research_data.assets.publish import refuse_full_disk
from research_data.assets.tar_archive import LARGEST_MANIFEST
from research_data.assets.verify import OnBytes
from research_data.elsewhere.store import Store, open_store
from research_data.elsewhere.transfer import fetch_files
from research_data.errors import StorageError, StoreError
from research_data.lock import locked
from research_data.progress import BytesProgress
from research_data.shown import did_you_mean

from research_train.errors import RunError
from research_train.history.received_run import (
    Imported,
    parse_manifest,
    place_of,
    refuse_other_content,
    take_in,
)
from research_train.history.run_archive import MANIFEST
from research_train.record.folders import code_archive
from research_train.record.lock import LOCK
from research_train.record.summary import summarise

PULLS = ".pulls"  # folder in the outputs with what arrived of runs that are not yet here


def pushed_runs(address: str, names: Sequence[str] = ()) -> list[str]:
    """The addresses of the runs that were pushed to an address: of all, or of those named.

    address: as given to `push_run`, or of one run's own folder. names: a run's id or how it
    begins, or `paper/id`. Raises UsageError for what is no address, RunError for a name that no run
    or several have, StoreError.
    """
    store = open_store(address)
    if store.read(MANIFEST, LARGEST_MANIFEST) is not None and not names:
        return [store.address]
    found = {
        f"{paper}/{run}": store.below(paper).below(run).address
        for paper in store.folders()
        if not why_no_name(paper)
        for run in store.below(paper).folders()
        if not why_no_name(run)
    }
    if not found:
        raise RunError(f"{store.address} holds no run that was pushed")
    return [found[_chosen(name, list(found), store)] for name in names] or list(found.values())


def pull_run(address: str, *, quiet: bool = False) -> Imported:
    """Pull a run from the address of its own folder; it appears only when all is verified.

    What arrives is kept in the outputs' folder `.pulls` until then. Raises UsageError for what is
    no address; StoreError if there is no whole push; RunError if it isn't a sound run, or is here
    with other content; AssetError if the disk has too little space; StorageError.
    """
    store = open_store(address)
    content = store.read(MANIFEST, LARGEST_MANIFEST)
    if content is None:
        raise StoreError(
            f"{store.address} has no {MANIFEST}: it is no run that was pushed, or its push hasn't "
            "ended. The same `run push` again goes on with it."
        )
    manifest = parse_manifest(content, store.address)
    folder = place_of(manifest)
    arrived = get_outputs_dir() / PULLS / hashlib.sha256(content).hexdigest()[:16]
    try:
        arrived.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(arrived, error) from error
    waiting = "" if quiet else f"{manifest.run}: waiting for another process that pulls it"
    with locked(arrived / LOCK, waiting):
        if folder.exists() and code_archive(manifest.source).is_file():
            shutil.rmtree(arrived, ignore_errors=True)
            refuse_other_content(folder, manifest, store.address)
            return Imported(summarise(folder), already_here=True)
        here = sum(each.stat().st_size for each in arrived.rglob("*") if each.is_file())
        refuse_full_disk(folder, manifest.size - here, manifest.run)
        with BytesProgress(f"pull {manifest.run}", manifest.size, quiet) as progress:
            fetch_files(store, manifest.files, arrived, progress.update)

        def move(path_of: Callable[[str], Path], on_bytes: OnBytes) -> None:
            for name in manifest.files:
                path = path_of(name)
                path.parent.mkdir(parents=True, exist_ok=True)
                (arrived / name).replace(path)

        imported = take_in(manifest, store.address, move, quiet=True)
        shutil.rmtree(arrived, ignore_errors=True)
    return imported


def _chosen(name: str, known: Sequence[str], store: Store) -> str:
    """The `paper/id` that a name means. Raises RunError."""
    for test in (
        lambda each: name in (each, each.partition("/")[2]),
        lambda each: each.partition("/")[2].startswith(name),
    ):
        matching = [each for each in known if test(each)]
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise RunError(
                f"{name!r} could be any of {len(matching)} runs at {store.address}: "
                + ", ".join(matching[:5])
            )
    ids = [each.partition("/")[2] for each in known]
    raise RunError(f"{store.address} holds no run {name!r}.{did_you_mean(name, ids)}")
