"""Push a dataset or model to an address, and pull it from there, with its .asset.json last.

A pushed asset is a folder as in assets: with a mounted address `research-cli dataset import FOLDER`
reads it too.
"""

from pathlib import Path

from research_data.assets.archives import publish_filled
from research_data.assets.catalog import Asset
from research_data.assets.manifest import (
    MANIFEST,
    FileEntry,
    Kind,
    manifest_file,
    parse_manifest,
    read_manifest,
    refuse_steering,
)
from research_data.assets.tar_archive import LARGEST_MANIFEST
from research_data.assets.verify import OnBytes, verify_asset
from research_data.elsewhere.store import Store, open_store
from research_data.elsewhere.transfer import Pushed, fetch_files, push_files
from research_data.errors import DamagedAssetError, StoreError, UsageError
from research_data.progress import BytesProgress


def push_asset(asset: Asset, address: str, *, quiet: bool = False) -> Pushed:
    """Push an asset into a folder of its name at an address; the same again goes on or checks.

    Raises UsageError for what is no address, DamagedAssetError if a file here is damaged,
    StoreError.
    """
    store = open_store(address).below(asset.folder.name)
    manifest = read_manifest(asset.folder)
    with BytesProgress(f"push {asset.folder.name}", 3 * manifest.size, quiet) as progress:
        verify_asset(asset.folder, progress.update)
        try:
            content = manifest_file(asset.folder).read_bytes()
        except OSError as error:
            raise DamagedAssetError(asset.folder, f"{MANIFEST} can't be read: {error}") from error
        files = {name: (asset.folder / name, entry) for name, entry in manifest.files.items()}
        return push_files(store, files, (MANIFEST, content), progress.update)


def pull_asset(address: str, kind: Kind = "dataset", *, quiet: bool = False) -> Asset:
    """Pull an asset that was pushed, from the address of its folder: `.../squad@7b6d24c440a3`.

    It gets the names that it had where it was pushed, unless another asset here has them. A pull
    that was stopped goes on with the missing bytes. Raises UsageError for what is no address or
    for an asset of the other kind, StoreError if there is no whole push or a file isn't what its
    .asset.json says, AssetError as `import_asset` does.
    """
    store = open_store(address)
    content = store.read(MANIFEST, LARGEST_MANIFEST)
    if content is None:
        raise StoreError(_nothing_there(store, kind))
    try:
        manifest = parse_manifest(content, Path(store.address.rpartition("/")[2]))
    except DamagedAssetError as error:
        raise StoreError(f"{store.address}: {error.what}. Nothing was pulled.") from error
    if manifest.kind != kind:
        raise UsageError(
            f"{store.address} holds a {manifest.kind}: use `research-cli {manifest.kind} pull`"
        )
    refuse_steering(manifest.files)

    def fill(partial: Path, wanted: dict[str, FileEntry], on_bytes: OnBytes) -> None:
        on_bytes(manifest.size - sum(entry.size for entry in wanted.values()))
        fetch_files(store, wanted, partial, on_bytes)

    return publish_filled(manifest, None, quiet, fill, resumes=True)


def _nothing_there(store: Store, kind: Kind) -> str:
    """Why a folder at an address is no asset: not a whole push, or one of those below is meant."""
    below = [name for name in store.folders() if "@" in name]
    if below:
        return (
            f"{store.address} is not a {kind}, but holds {', '.join(below[:5])}: add the one to "
            f"pull, as in `{store.address}/{below[0]}`"
        )
    return (
        f"{store.address} has no {MANIFEST}: it is no {kind} that was pushed, or its push hasn't "
        "ended. The same `push` again goes on with it."
    )
