"""From a hub into assets: resolved once, downloaded beside, every byte hashed, published whole.

    pull_dataset("squad")  ->  datasets/rajpurkar--squad@7b6d24c440a3/, and `squad` linking to it

The order of things: what is here already? what does the hub have? does it fit? Then, holding the
asset's lock, the files that are missing into a hidden folder that survives a kill, and at the end
the manifest.
"""

import fnmatch
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.pool import ThreadPool
from pathlib import Path

from research_data.catalog import (
    Asset,
    kind_folder,
    matching_assets,
    name_asset,
    split_name,
)
from research_data.durable import fsync_file
from research_data.errors import AssetError, DamagedAssetError, HubError, StorageError, UsageError
from research_data.hub import (
    HubFile,
    HubRepository,
    client_errors,
    download_file,
    find_repository,
    is_offline,
    remove_client_files,
)
from research_data.manifest import (
    FileEntry,
    Kind,
    Manifest,
    check_file_names,
    folder_name,
    read_manifest,
)
from research_data.progress import BytesProgress, say, shown_size
from research_data.verify import (
    check_asset,
    count_cores,
    find_damage,
    take_stamps,
    verify_asset,
    write_stamps,
)

WORKERS = min(8, 2 * count_cores())  # downloads at once: more only wait for each other's Python
ALWAYS = ("README.md", "LICENSE*", "LICENCE*", "*.yaml")  # with any part of a dataset
MODEL_FILES = (
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.txt",  # vocab.txt, merges.txt
    "*.model",  # SentencePiece
    "*.jinja",  # chat templates
    "README.md",
    "LICENSE*",
)
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib", "*.npy", "*.npz")


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

    def covered_by(self, manifest: Manifest) -> bool:
        """Whether an asset has all that is asked for."""
        if self.kind == "model":
            return set(self.include) <= set(manifest.include)
        if not manifest.configs:
            return True
        return bool(self.configs) and all(
            (self.splits or config in manifest.whole_configs)
            and set(self.splits) <= manifest.configs.get(config, {}).keys()
            for config in self.configs
        )


@dataclass(frozen=True)
class Plan:
    """What a pull would fetch. files: all of the asset. missing: those that are not here whole."""

    repository: HubRepository
    folder: Path
    files: tuple[HubFile, ...]
    missing: tuple[HubFile, ...]
    configs: dict[str, dict[str, list[str]]] = field(default_factory=dict)

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
    offline: no request at all, as with HF_HUB_OFFLINE=1.
    Raises UsageError for a name, revision, config or split that doesn't exist, HubError,
    AssetError when it doesn't fit or needs remote code, StorageError.
    """
    request = Request("dataset", *split_name(name), tuple(configs), tuple(splits))
    return _pull(request, max_size, offline, update, quiet)


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
    _refuse_pickles(name, include, include)
    request = Request("model", *split_name(name), include=tuple(include))
    return _pull(request, max_size, offline, update, quiet)


def plan_pull(request: Request, offline: bool = False) -> Plan:
    """Ask the hub what a pull would fetch; fetches nothing. Raises as pull_dataset does."""
    if offline or is_offline():
        raise HubError(_offline_message(request))
    repository = find_repository(request.kind, request.name, request.revision)
    check_file_names(file.name for file in repository.files)
    folder = kind_folder(request.kind) / folder_name(repository.repo_id, repository.revision)
    configs: dict[str, dict[str, list[str]]] = {}
    if request.kind == "model":
        files = _model_files(repository, request.include)
    else:
        _refuse_remote_code(repository)
        files = list(repository.files)
        if request.configs or request.splits:
            configs = _data_files(repository, request)
            wanted = {
                name for splits in configs.values() for part in splits.values() for name in part
            }
            files = [f for f in files if f.name in wanted or _matches(f.name, ALWAYS)]
    present = _present(folder)
    missing = [file for file in files if file.name not in present]
    return Plan(repository, folder, tuple(files), tuple(missing), configs)


def repair_asset(asset: Asset, *, quiet: bool = False) -> list[str]:
    """Fetch the damaged and missing files of an asset of the hub again; returns their names.

    Raises HubError, AssetError when the asset is from no hub, StorageError.
    """
    manifest = asset.manifest
    damaged = find_damage(asset.folder, manifest, manifest.files)
    if not damaged:
        return []
    if manifest.source != "hub":
        raise AssetError(
            f"{asset.folder.name}: {', '.join(damaged)} can't be repaired: it is from no hub "
            f"({manifest.source}). Remove it and make or import it again."
        )
    if is_offline():
        raise HubError(f"{asset.folder.name} can't be repaired offline: {', '.join(damaged)}")
    repository = find_repository(asset.kind, manifest.repo_id, manifest.revision)
    files = tuple(f for f in repository.files if f.name in damaged)
    if lost := damaged.keys() - {f.name for f in files}:
        raise HubError(f"{manifest.repo_id}: the hub no longer has {', '.join(sorted(lost))}")
    _fetch(Plan(repository, asset.folder, files, files), manifest, quiet)
    verify_asset(asset.folder)
    return sorted(damaged)


@contextmanager
def _locked(folder: Path, quiet: bool) -> Iterator[None]:
    """Hold the lock that only one process has for an asset's folder."""
    import filelock

    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not quiet:
            say(f"{folder.name}: another process is at work on it; waiting")
        lock.acquire()
    except OSError as error:
        raise StorageError(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _pull(
    request: Request, max_size: int | None, offline: bool, update: bool, quiet: bool
) -> Asset:
    try:
        here = None if update else _here_already(request)
    except DamagedAssetError as error:
        if offline or is_offline():
            raise
        here = None
        if not quiet:
            say(f"{error}. What is damaged is fetched again.")
    if here:
        _name_as_asked(here, request)
        here.mark_used()
        return here
    plan = plan_pull(request, offline)
    missing = plan.missing_size
    if max_size is not None and missing > max_size:
        raise AssetError(
            f"{request.name} is {shown_size(missing)} to fetch, more than the "
            f"{shown_size(max_size)} allowed. Nothing was fetched."
        )
    _refuse_full_disk(plan)
    manifest = Manifest(
        kind=request.kind,
        source="hub",
        repo_id=plan.repository.repo_id,
        endpoint=plan.repository.endpoint,
        configs=plan.configs,
        whole_configs=[] if request.splits else sorted(plan.configs),
        include=sorted(request.include),
        requested_revision=request.revision,
        revision=plan.repository.revision,
        licence=plan.repository.licence,
        files={},
    )
    began = time.perf_counter()
    asset = Asset(plan.folder, _fetch(plan, manifest, quiet))
    if not quiet:
        seconds = time.perf_counter() - began
        say(
            f"{asset.folder.name}: {len(plan.missing)} files, {shown_size(missing)} in "
            f"{seconds:.1f} s ({shown_size(missing / seconds)}/s); licence "
            f"{asset.manifest.licence or 'not stated'}"
        )
    _name_as_asked(asset, request)
    asset.mark_used()
    return asset


def _name_as_asked(asset: Asset, request: Request) -> None:
    try:
        name_asset(asset, request.name)
    except StorageError:  # assets that can only be read: what is here can be used all the same
        say(f"note: {asset.folder.parent} is read-only, so the name {request.name} isn't updated")


def _here_already(request: Request) -> Asset | None:
    """An asset that answers the request, without a look at the hub. Raises DamagedAssetError."""
    for asset in matching_assets(request.kind, request.name, request.revision)[:1]:
        if request.covered_by(asset.manifest):
            return Asset(asset.folder, check_asset(asset.folder))
    return None


def _present(folder: Path) -> dict[str, FileEntry]:
    """The files of an asset's folder that are whole and intact."""
    try:
        manifest = read_manifest(folder)
    except DamagedAssetError:
        return {}
    damaged = find_damage(folder, manifest, manifest.files)
    return {name: entry for name, entry in manifest.files.items() if name not in damaged}


def _fetch(plan: Plan, manifest: Manifest, quiet: bool) -> Manifest:
    """Download what is missing and publish it; returns the manifest of the whole asset."""
    partial = plan.folder.with_name(f".{plan.folder.name}.partial")
    with _locked(plan.folder, quiet):
        present = _present(plan.folder)  # another process may have fetched it meanwhile
        missing = [file for file in plan.files if file.name not in present]
        try:
            partial.mkdir(exist_ok=True)
            fetched = _download(plan.repository, missing, partial, quiet)
            remove_client_files(partial)
            _drop_others(partial, fetched)
            manifest = _merged(plan, manifest, present, fetched)
            _publish(partial, plan.folder, manifest, fetched)
        except OSError as error:
            raise StorageError(plan.folder, error) from error
        write_stamps(plan.folder, take_stamps(plan.folder, manifest))
    return manifest


def _merged(
    plan: Plan, manifest: Manifest, present: dict[str, FileEntry], fetched: dict[str, FileEntry]
) -> Manifest:
    """The manifest with what its folder holds already: parts of a dataset add up."""
    files = dict(sorted({**present, **fetched}.items()))
    configs, include, whole = manifest.configs, manifest.include, manifest.whole_configs
    with suppress(AssetError):
        before = read_manifest(plan.folder)
        include = sorted({*include, *before.include})
        if not before.configs and present:
            configs, whole = {}, []
        elif configs:
            names = {*configs, *before.configs}
            configs = {n: {**before.configs.get(n, {}), **configs.get(n, {})} for n in names}
            whole = sorted({*whole, *before.whole_configs})
    return manifest.model_copy(
        update={"files": files, "configs": configs, "whole_configs": whole, "include": include}
    )


def _publish(
    partial: Path, folder: Path, manifest: Manifest, fetched: dict[str, FileEntry]
) -> None:
    """Put what was fetched in its place, and the manifest last: it lists only what is whole."""
    if folder.exists():
        for name in fetched:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).replace(folder / name)
        manifest.write(folder)
        shutil.rmtree(partial)
    else:
        manifest.write(partial)
        for path in partial.rglob("*"):
            if path.is_dir():
                fsync_file(path)
        fsync_file(partial)
        partial.rename(folder)
    fsync_file(folder.parent)


def _download(
    repository: HubRepository, files: Sequence[HubFile], folder: Path, quiet: bool
) -> dict[str, FileEntry]:
    """Download files in parallel; stops the others when one fails or Ctrl-C comes."""
    stopping = threading.Event()
    label = f"{repository.repo_id}@{repository.revision[:12]}"
    fetched: dict[str, FileEntry] = {}
    with BytesProgress(f"pull {label}", sum(f.size for f in files), quiet) as progress:

        def on_bytes(count: int) -> None:
            if stopping.is_set():
                raise HubError("stopped")  # out of the client's loop; nobody is told
            progress.update(count)

        def one(file: HubFile) -> tuple[str, FileEntry]:
            sha256 = download_file(repository, file, folder, on_bytes)
            fsync_file(folder / file.name)
            return file.name, FileEntry(size=file.size, sha256=sha256)

        # Its threads end with the process: Ctrl-C need not wait for a server that says nothing.
        with ThreadPool(WORKERS) as pool:
            try:
                largest_first = sorted(files, key=lambda file: -file.size)
                fetched.update(pool.imap_unordered(one, largest_first))
            finally:
                stopping.set()
    return fetched


def _drop_others(partial: Path, fetched: dict[str, FileEntry]) -> None:
    """Remove what an earlier, killed pull left that this one doesn't want."""
    for path in sorted(partial.rglob("*"), reverse=True):
        if path.is_dir():
            with suppress(OSError):  # it has files in it
                path.rmdir()
        elif path.relative_to(partial).as_posix() not in fetched:
            path.unlink()


def _refuse_full_disk(plan: Plan) -> None:
    folder = plan.folder.parent
    while not folder.exists():
        folder = folder.parent
    left = plan.folder.with_name(f".{plan.folder.name}.partial")
    here = sum(path.stat().st_size for path in left.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if plan.missing_size - here > free:
        raise AssetError(
            f"{plan.repository.repo_id} needs {shown_size(plan.missing_size)}, {folder} has "
            f"{shown_size(free)} left. Free some room, or set RESEARCH_ASSETS to a larger disk. "
            "Nothing was fetched."
        )


def _model_files(repository: HubRepository, include: Sequence[str]) -> list[HubFile]:
    names = [file.name for file in repository.files]
    for pattern in include:
        chosen = [name for name in names if fnmatch.fnmatch(name, pattern)]
        if not chosen:
            raise UsageError(
                f"--include {pattern!r}: no file of {repository.repo_id} is like that. It has "
                f"{', '.join(names[:20])}"
            )
        _refuse_pickles(repository.repo_id, [pattern], chosen)
    files = [f for f in repository.files if _matches(f.name, (*MODEL_FILES, *include))]
    if not any(f.name.endswith(".safetensors") for f in files):
        pickles = [name for name in names if _matches(name, PICKLES)]
        raise AssetError(
            f"{repository.repo_id} has no weights in safetensors"
            + (
                f", only {', '.join(pickles[:5])}: pickled files run code when read"
                if pickles
                else ""
            )
            + ". Many repositories have a converted copy in a pull request: try "
            f"`research-cli model pull {repository.repo_id}@refs/pr/1`, or ask its authors."
        )
    return files


def _refuse_pickles(name: str, patterns: Sequence[str], chosen: Sequence[str]) -> None:
    if pickled := [file for file in chosen if _matches(file, PICKLES)]:
        raise UsageError(
            f"{name}: --include {' '.join(patterns)} means {', '.join(pickled[:5])}, and pickled "
            "files run code when they are read: they are never pulled. The safetensors weights "
            "come without --include."
        )


def _refuse_remote_code(repository: HubRepository) -> None:
    script = f"{repository.repo_id.rpartition('/')[2]}.py"
    if any(file.name == script for file in repository.files):
        raise AssetError(
            f"{repository.repo_id} needs remote code ({script}) to be read, and none is ever run. "
            "The hub keeps a Parquet copy of most datasets: `research-cli dataset pull "
            f"{repository.repo_id}@refs/convert/parquet`"
        )


def _data_files(repository: HubRepository, request: Request) -> dict[str, dict[str, list[str]]]:
    """The files of the configs and splits asked for, found as `datasets` itself finds them."""
    os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
    import datasets

    repo_id, revision = repository.repo_id, repository.revision
    prefix = f"hf://datasets/{repo_id}@{revision}/"
    found: dict[str, dict[str, list[str]]] = {}
    with (
        tempfile.TemporaryDirectory() as scratch,  # it keeps the card there, which is pulled anyway
        client_errors("dataset", repo_id, revision),
    ):
        settings = datasets.DownloadConfig(cache_dir=scratch)
        known = datasets.get_dataset_config_names(
            repo_id, revision=revision, download_config=settings
        )
        for config in request.configs or known:
            if config not in known:
                raise UsageError(f"{repo_id} has no config {config!r}. It has {', '.join(known)}.")
            builder = datasets.load_dataset_builder(
                repo_id, config, revision=revision, cache_dir=scratch, download_config=settings
            )
            files = {str(split): list(paths) for split, paths in builder.config.data_files.items()}
            for split in request.splits or files:
                if split not in files:
                    raise UsageError(
                        f"{repo_id}, config {config!r}, has no split {split!r}. It has "
                        f"{', '.join(files)}."
                    )
                paths = [path.removeprefix(prefix) for path in files[split]]
                found.setdefault(config, {})[split] = paths
    return found


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _offline_message(request: Request) -> str:
    asked = request.name + (f"@{request.revision}" if request.revision else "")
    here = matching_assets(request.kind, request.name, None)
    revisions = ", ".join(asset.folder.name for asset in here)
    return (
        f"{asked} is not here as asked for, and nothing is fetched offline."
        + (f" Here is {revisions}." if here else "")
        + f" Where there is a network: `research-cli {request.kind} pull {asked}`, or carry it "
        f"over with `export` and `import`."
    )
