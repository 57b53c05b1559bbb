"""From a hub into assets: resolved once, downloaded beside, every byte hashed, published whole.

    pull_dataset("squad")  ->  datasets/rajpurkar--squad@7b6d24c440a3/, and `squad` linking to it

The order of things: what is here already? what does the hub have? does it fit? Then, holding the
asset's lock, the files that are missing are fetched and published (assets/publish.py).
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

from research_data.assets.catalog import (
    Asset,
    kind_folder,
    matching_assets,
    nearest,
    pullable_link,
    split_name,
)
from research_data.assets.manifest import (
    FileEntry,
    Kind,
    Manifest,
    check_file_names,
    folder_name,
    hide_manifest,
    refuse_steering,
)
from research_data.assets.names import name_asset, refuse_name
from research_data.assets.publish import Publication, look_at, publication, refuse_full_disk
from research_data.assets.verify import check_asset, count_cores
from research_data.durable import fsync_file
from research_data.errors import AssetError, DamagedAssetError, HubError, StorageError, UsageError
from research_data.hub.client import (
    HubFile,
    HubRepository,
    find_repository,
    is_offline,
    redact,
    remove_client_files,
)
from research_data.hub.download import download_file
from research_data.hub.run_pins import pins_here
from research_data.hub.selection import Configs, dataset_files, model_files, refuse_pickles
from research_data.progress import BytesProgress
from research_data.shown import say, shown_size

WORKERS = min(8, 2 * count_cores())  # downloads at once: more only wait for each other's Python


@dataclass(frozen=True)
class Request:
    """What is asked for.

    configs, splits: of a dataset; () is all of it. include: patterns of a model's files beside
    the usual ones.
    """

    kind: Kind
    name: str
    revision: str | None = None
    configs: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    include: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name

    def covered_by(self, manifest: Manifest) -> bool:
        """Whether an asset has all that is asked for."""
        if self.kind == "model":
            return set(self.include) <= set(manifest.include)
        if not manifest.configs:
            return True
        splits = set(self.splits)
        if not self.configs:
            return bool(splits) and splits <= set(manifest.whole_splits)
        return all(
            (splits or config in manifest.whole_configs)
            and splits <= manifest.configs.get(config, {}).keys()
            for config in self.configs
        )


@dataclass(frozen=True)
class Plan:
    """What a pull would fetch. files: all that is asked for. missing: those not here, intact."""

    repository: HubRepository
    folder: Path
    files: tuple[HubFile, ...]
    missing: tuple[HubFile, ...]
    configs: Configs

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing_size(self) -> int:
        """Bytes to fetch."""
        return sum(file.size for file in self.missing)


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
    """A dataset of the hub, `NAME[@REVISION]`, in assets: fetched where it isn't, and intact.

    configs, splits: only these. What is here and intact is returned without a look at the hub,
    unless update asks for the newest commit. max_size: bytes above which nothing is fetched.
    offline: no request at all, as with HF_HUB_OFFLINE=1. In a run only what its paper pins can
    be had, at that revision.
    Raises UsageError for a name, revision, config or split that doesn't exist, HubError,
    AssetError when it doesn't fit or needs remote code, StorageError.
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
    """A model of the hub, `NAME[@REVISION]`, in assets: safetensors, config, tokenizer.

    include: patterns of other files to have with them; pickled weights are refused. The rest is as
    in pull_dataset.
    """
    refuse_pickles(name, include, include)
    request = Request("model", *split_name(name), include=tuple(include))
    return _pull(_pinned(request), max_size, offline, update, quiet)


def plan_pull(request: Request, offline: bool = False, update: bool = False) -> Plan | Asset:
    """What a pull would fetch, or the asset that is here and answers; fetches nothing.

    Raises as pull_dataset does; DamagedAssetError for damage that no hub can mend, or offline.
    """
    if not update:
        here, request = _here_already(request, offline or is_offline())
        if here:
            return here
    if offline or is_offline():
        raise HubError(_offline_message(request))
    try:
        repository = find_repository(request.kind, request.name, request.revision)
    except UsageError as error:
        known = matching_assets(request.kind, request.name, None)
        hint = "" if known else nearest(request.kind, request.name)
        raise UsageError(f"{error}{hint}") from None
    check_file_names(file.name for file in repository.files)
    folder = kind_folder(request.kind) / folder_name(repository.repo_id, repository.revision)
    if request.kind == "model":
        files, configs = model_files(repository, request.include), Configs()
    else:
        files, configs = dataset_files(repository, request.configs, request.splits)
    present = look_at(folder).files
    missing = [file for file in files if file.name not in present]
    refuse_steering(file.name for file in missing)
    return Plan(repository, folder, tuple(files), tuple(missing), configs)


def fetch(
    repository: HubRepository,
    folder: Path,
    files: Sequence[HubFile],
    manifest: Manifest,
    quiet: bool,
) -> Manifest:
    """Have these files, and whatever of the asset is damaged, in its folder; its whole manifest."""
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
            f"{request.name} is {shown_size(missing)} to fetch, more than the "
            f"{shown_size(max_size)} allowed. Nothing was fetched."
        )
    refuse_full_disk(plan.folder, missing, plan.repository.repo_id)
    if not quiet and (damaged := sorted(look_at(plan.folder).damaged)):
        say(f"{plan.folder.name}: damaged, and fetched again: {', '.join(damaged[:5])}")
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
            f"{asset.folder.name}: {len(plan.missing)} file{'s'[: len(plan.missing) != 1]}, "
            f"{shown_size(missing)} in "
            f"{seconds:.1f} s ({shown_size(missing / seconds)}/s); licence "
            f"{asset.manifest.licence or 'not stated'}"
        )
    return _used(asset, request)


def _used(asset: Asset, request: Request) -> Asset:
    """The asset, with the request's name linked to it, where assets can be written to."""
    hide_manifest(asset.folder)
    try:
        name_asset(asset, request.name)
        if str(request) not in asset.manifest.asked_as:
            asked_as = sorted({*asset.manifest.asked_as, str(request)})
            asset = replace(
                asset, manifest=asset.manifest.model_copy(update={"asked_as": asked_as})
            )
            asset.manifest.write(asset.folder)
    except StorageError:  # assets that can only be read: what is here can be used all the same
        say(f"note: {asset.folder.parent} is read-only, so the name {request.name} isn't updated")
    asset.mark_used()
    return asset


def _here_already(request: Request, offline: bool) -> tuple[Asset | None, Request]:
    """An asset that answers the request, without a look at the hub; else what to ask the hub for.

    That is the very revision that the name is on where its folder is damaged or gone. Raises
    DamagedAssetError where no hub can mend it.
    """
    found = matching_assets(request.kind, request.name, request.revision)[:1]
    if (
        not found
        and request.revision is None
        and (known := pullable_link(request.kind, request.name))
    ):
        return None, replace(request, revision=known.partition("@")[2])
    for asset in found:
        manifest = asset.manifest
        if not request.covered_by(manifest):
            return None, replace(request, revision=request.revision or manifest.revision)
        try:
            asset = Asset(asset.folder, check_asset(asset.folder))
        except DamagedAssetError:
            if manifest.source != "hub" or offline:
                raise
            return None, replace(request, revision=manifest.revision)
        _refuse_unknown_parts(asset, request)
        return asset, request
    return None, request


def _refuse_unknown_parts(asset: Asset, request: Request) -> None:
    """Of a dataset that is here whole, refuse a config that its card doesn't have."""
    if not request.configs or asset.manifest.configs:
        return
    known = card_configs(asset.folder)
    for config in request.configs:
        if known and config not in known:
            raise UsageError(
                f"{asset.folder.name} has no config {config!r}. It has {', '.join(known)}."
            )
        splits = known.get(config, [])
        for split in request.splits:
            if splits and split not in splits:
                raise UsageError(
                    f"{asset.folder.name}, config {config!r}, has no split {split!r}. It has "
                    f"{', '.join(splits)}."
                )


def card_configs(folder: Path) -> dict[str, list[str]]:
    """The configs that a dataset's card declares, with their splits; empty where it declares none.

    Raises AssetError for data files that would lie outside the dataset's folder.
    """
    import yaml

    found: dict[str, list[str]] = {}
    for name in ("README.md", ".huggingface.yaml"):
        text = ""
        with suppress(OSError, UnicodeDecodeError):
            text = (folder / name).read_text(encoding="utf-8")
        if name == "README.md":
            text = text.partition("---\n")[2].partition("\n---")[0] if text[:4] == "---\n" else ""
        try:
            card = yaml.safe_load(text) or {}
        except (yaml.YAMLError, ValueError, RecursionError):  # the library says what is wrong
            continue
        for config in (card.get("configs") if isinstance(card, dict) else None) or []:
            if isinstance(config, dict):
                parts = config.get("data_files", [])
                _refuse_outside(folder, [parts, config.get("data_dir")])
                splits = [str(p["split"]) for p in parts if isinstance(p, dict) and "split" in p]
                found[str(config.get("config_name", "default"))] = splits
    return found


def _refuse_outside(folder: Path, value: object) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            _refuse_outside(folder, each)
    elif isinstance(value, str) and (
        "://" in value or value.startswith(("/", "~")) or ".." in Path(value).parts
    ):
        raise AssetError(
            f"{folder.name}: its card names data outside the dataset, {value!r}, which is not read"
        )


def _pinned(request: Request) -> Request:
    """In a run: the request at the revision that the run records. Raises UsageError."""
    pins = pins_here()
    if pins is None:
        return request
    pinned = pins.get(request.name)
    if pinned is None or not str(pinned).startswith(request.revision or ""):
        needs = ", ".join(f"{name}@{rev[:12]}" for name, rev in pins.items()) or "nothing"
        raise UsageError(
            f"this run's paper needs {needs}, and its code asks for {request}. A run reads only "
            f"what it records: add it to {request.kind}s under [tool.research] in its pyproject."
        )
    return replace(request, revision=pinned)


def _download(
    repository: HubRepository, files: Sequence[HubFile], opened: Publication, quiet: bool
) -> dict[str, FileEntry]:
    """Download files in parallel; stops the others when one fails or Ctrl-C comes."""
    stopping = threading.Event()
    fetched: dict[str, FileEntry] = {}
    label = f"{repository.repo_id}@{repository.revision[:12]}"
    with BytesProgress(f"pull {label}", sum(f.size for f in files), quiet) as progress:

        def on_bytes(count: int) -> None:
            if stopping.is_set():
                raise HubError("stopped")  # out of the client's loop; nobody is told
            progress.update(count)

        def one(file: HubFile) -> tuple[str, FileEntry]:
            sha256 = download_file(repository, file, opened.partial, on_bytes)
            fsync_file(opened.partial / file.name)
            return file.name, FileEntry(size=file.size, sha256=sha256)

        # Its threads end with the process: Ctrl-C need not wait for a server that says nothing.
        with ThreadPool(WORKERS) as pool:
            try:
                largest_first = sorted(files, key=lambda file: -file.size)
                fetched.update(pool.imap_unordered(one, largest_first))
            finally:
                stopping.set()
    return fetched


def _offline_message(request: Request) -> str:
    here = matching_assets(request.kind, request.name, None)
    revisions = ", ".join(asset.folder.name for asset in here)
    return (
        f"{request} is not here as asked for, and nothing is fetched offline."
        + (f" Here is {revisions}." if here else nearest(request.kind, request.name))
        + f" Where there is a network: `research-cli {request.kind} pull {request}`, or carry it "
        "over with `export` and `import`."
    )
