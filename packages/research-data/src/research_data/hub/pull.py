"""Pull from a hub into assets: every byte is hashed, and only what is complete is published.

    pull_dataset("squad")  ->  datasets/rajpurkar--squad@7b6d24c440a3/, and `squad` linking to it

The steps: look for the asset here; ask the hub for its files; check sizes and the disk; then, while
holding the asset's lock, fetch the missing files and publish them (assets/publish.py).
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

from research_data.assets.catalog import (
    Asset,
    split_name,
)
from research_data.assets.lock import locked_folder
from research_data.assets.manifest import (
    FileEntry,
    Manifest,
    hide_manifest,
)
from research_data.assets.names import is_named, name_asset, refuse_name
from research_data.assets.publish import Publication, look_at, publication, refuse_full_disk
from research_data.assets.verify import count_cores
from research_data.durable import fsync_file
from research_data.errors import AssetError, HubError, StorageError, UsageError
from research_data.hub.address import redact
from research_data.hub.client import (
    HubFile,
    HubRepository,
    remove_client_files,
)
from research_data.hub.download import download_file
from research_data.hub.plan import Request, plan_pull
from research_data.hub.run_pins import pins_here
from research_data.hub.selection import refuse_pickles
from research_data.progress import BytesProgress
from research_data.shown import counted, first_few, say, shown_size

WORKERS = min(8, 2 * count_cores())  # parallel downloads; with more, the threads wait for Python


def pull_dataset(
    name: str,
    configs: Sequence[str] = (),
    splits: Sequence[str] = (),
    *,
    max_size: int | None = None,
    offline: bool = False,
    update: bool = False,
    quiet: bool = False,
) -> Asset:
    """A dataset of the hub, `NAME[@REVISION]`, as an intact asset; missing files are fetched.

    configs, splits: the parts to fetch; by default all. An intact asset here is returned without a
    request to the hub, unless update asks for the newest commit. max_size: fetch nothing if the
    download has more bytes. offline: make no request, as with HF_HUB_OFFLINE=1. In a run, only
    assets that its paper pins can be pulled, at the pinned revision.

    Raises UsageError for a name, revision, config or split that doesn't exist, HubError,
    AssetError when it is too large or needs remote code, StorageError.
    """
    request = Request("dataset", *split_name(name), tuple(configs), tuple(splits))
    return _pull(_pinned(request), max_size, offline, update, quiet)


def pull_model(
    name: str,
    include: Sequence[str] = (),
    *,
    max_size: int | None = None,
    offline: bool = False,
    update: bool = False,
    quiet: bool = False,
) -> Asset:
    """A model of the hub, `NAME[@REVISION]`, as an intact asset: safetensors, config, tokenizer.

    include: patterns of other files to fetch as well; pickled weights are refused. Everything else
    is as in pull_dataset.
    """
    refuse_pickles(name, include, include)
    request = Request("model", *split_name(name), include=tuple(include))
    return _pull(_pinned(request), max_size, offline, update, quiet)


def fetch(
    repository: HubRepository,
    folder: Path,
    files: Sequence[HubFile],
    manifest: Manifest,
    quiet: bool,
) -> Manifest:
    """Fetch files, and all damaged ones, into an asset's folder; returns its merged manifest."""
    with publication(folder, quiet) as opened:
        wanted = {file.name: file for file in files}
        for file in repository.files:
            if file.name in opened.present.damaged:
                wanted[file.name] = file
        missing = [file for name, file in wanted.items() if name not in opened.present.files]
        fetched = _download(repository, missing, opened, quiet)
        remove_client_files(opened.partial)
        return opened.publish(manifest, fetched)


def _pull(
    request: Request, max_size: int | None, offline: bool, update: bool, quiet: bool
) -> Asset:
    plan = plan_pull(request, offline, update)
    if isinstance(plan, Asset):
        return _used(plan, request)
    refuse_name(plan.folder, request.name)
    missing = plan.missing_size
    if max_size is not None and missing > max_size:
        raise AssetError(
            f"the download of {request.name} has {shown_size(missing)}, more than the "
            f"{shown_size(max_size)} allowed. Nothing was fetched."
        )
    refuse_full_disk(plan.folder, missing, plan.repository.repo_id)
    if not quiet and (damaged := sorted(look_at(plan.folder).damaged)):
        say(f"{plan.folder.name}: fetching damaged files again: {first_few(damaged)}")
    manifest = Manifest(
        kind=request.kind,
        source="hub",
        repo_id=plan.repository.repo_id,
        endpoint=redact(plan.repository.endpoint),
        asked_as=[str(request)],
        configs=plan.configs,
        whole_configs=[] if request.splits else sorted(plan.configs),
        whole_splits=[] if request.configs else sorted(request.splits),
        include=sorted(request.include),
        requested_revision=request.revision,
        revision=plan.repository.revision,
        licence=plan.repository.licence,
        files={},
    )
    began = time.perf_counter()
    asset = Asset(plan.folder, fetch(plan.repository, plan.folder, plan.files, manifest, quiet))
    if not quiet:
        seconds = time.perf_counter() - began
        say(
            f"{asset.folder.name}: {counted(len(plan.missing), 'file')}, {shown_size(missing)} in "
            f"{seconds:.1f} s ({shown_size(missing / seconds)}/s); licence "
            f"{asset.manifest.licence or 'not stated'}"
        )
    return _used(asset, request)


def _used(asset: Asset, request: Request) -> Asset:
    """The asset, with the request's name linked to it if the assets folder is writable."""
    hide_manifest(asset.folder)
    try:
        if not is_named(asset, request.name):
            with locked_folder(asset.folder, quiet=True):
                if asset.folder.is_dir():  # not removed just now, with its names
                    name_asset(asset, request.name)
        if str(request) not in asset.manifest.asked_as:
            asked_as = sorted({*asset.manifest.asked_as, str(request)})
            asset = replace(
                asset, manifest=asset.manifest.model_copy(update={"asked_as": asked_as})
            )
            asset.manifest.write(asset.folder)
    except StorageError:  # read-only assets can be used without it
        say(
            f"note: {asset.folder.parent} can't be written to, so the name {request.name} isn't "
            "linked to this revision"
        )
    asset.mark_used()
    return asset


def _pinned(request: Request) -> Request:
    """The request at the revision that the current run pins; unchanged outside of a run.

    Raises UsageError when the run doesn't pin it.
    """
    pins = pins_here()
    if pins is None:
        return request
    pinned = pins.get(request.name)
    if pinned is None or not str(pinned).startswith(request.revision or ""):
        needs = ", ".join(f"{name}@{rev[:12]}" for name, rev in pins.items()) or "nothing"
        raise UsageError(
            f"this run's code asks for {request}, but its paper pins {needs}. A run reads only "
            f"what is pinned: add it to {request.kind}s under [tool.research] in the paper's "
            "pyproject.toml."
        )
    return replace(request, revision=pinned)


def _download(
    repository: HubRepository, files: Sequence[HubFile], opened: Publication, quiet: bool
) -> dict[str, FileEntry]:
    """Download files in parallel; all stop when one fails or Ctrl-C is pressed."""
    stopping = threading.Event()
    fetched: dict[str, FileEntry] = {}
    label = f"{repository.repo_id}@{repository.revision[:12]}"
    with BytesProgress(f"pull {label}", sum(f.size for f in files), quiet) as progress:

        def on_bytes(count: int) -> None:
            if stopping.is_set():
                raise HubError("stopped")  # ends this download; never shown to anyone
            progress.update(count)

        def one(file: HubFile) -> tuple[str, FileEntry]:
            sha256 = download_file(repository, file, opened.partial, on_bytes)
            fsync_file(opened.partial / file.name)
            return file.name, FileEntry(size=file.size, sha256=sha256)

        # These threads end with the process, so Ctrl-C need not wait for a silent server.
        with ThreadPool(WORKERS) as pool:
            try:
                largest_first = sorted(files, key=lambda file: -file.size)
                fetched.update(pool.imap_unordered(one, largest_first))
            finally:
                stopping.set()
    return fetched
