"""Pull one file from an address of the web into assets: verified, and resumed where it stopped.

[tool.research.files.tinyshakespeare]
url = "https://host/path/input.txt"
size = 1115394
sha256 = "86c4e6aa..."
licence = "public domain"

It becomes datasets/tinyshakespeare@86c4e6aa9db7/input.txt: the revision is the file's sha256.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from research_data.assets.catalog import Asset, kind_folder
from research_data.assets.manifest import FileEntry, Manifest, has_manifest
from research_data.assets.names import name_asset, refuse_name
from research_data.assets.needs import FileNeed
from research_data.assets.publish import publication, refuse_full_disk
from research_data.assets.verify import check_asset, sha256_of
from research_data.durable import fsync_file
from research_data.errors import DamagedAssetError, HubError, StorageError, is_of_the_disk
from research_data.hub.address import redact
from research_data.hub.client import patiently
from research_data.hub.download import fetch_rest
from research_data.hub.settings import is_offline, our_calls
from research_data.progress import BytesProgress
from research_data.shown import say, shown_size


def pull_file(need: FileNeed, *, quiet: bool = False) -> Asset:
    """The file at an address as an intact asset; fetched if it is missing or damaged.

    A file of the right bytes that was put into the asset's folder by hand is taken as it is.
    Raises HubError when it can't be fetched, or its size or sha256 isn't what the need says;
    UsageError when another asset has its name; StorageError.
    """
    manifest = Manifest(
        kind="dataset",
        source="local",  # to earlier versions an asset that no hub has
        repo_id=need.name,
        endpoint=redact(need.url),
        asked_as=[need.name],
        revision=need.sha256,
        licence=need.licence,
        files={need.file: FileEntry(size=need.size, sha256=need.sha256)},
    )
    folder = kind_folder("dataset") / manifest.folder_name
    refuse_name(folder, need.name)
    if has_manifest(folder):
        with suppress(DamagedAssetError):
            return _used(Asset(folder, check_asset(folder)), need)
    refuse_full_disk(folder, need.size, need.name)
    with publication(folder, quiet) as opened:
        if need.file not in opened.present.files:
            arrived = opened.partial / need.file
            if _is_right(folder / need.file, need):
                shutil.copyfile(folder / need.file, arrived)
            else:
                _fetch(need, folder, arrived, quiet)
            fsync_file(arrived)
        manifest = opened.publish(manifest, manifest.files)
    return _used(Asset(folder, manifest), need)


def is_here(need: FileNeed) -> bool:
    """Whether the file of a need is among the assets."""
    return has_manifest(kind_folder("dataset") / f"{need.name}@{need.sha256[:12]}")


def _used(asset: Asset, need: FileNeed) -> Asset:
    name_asset(asset, need.name)
    asset.mark_used()
    return asset


def _fetch(need: FileNeed, folder: Path, arrived: Path, quiet: bool) -> None:
    """Fetch the file to `arrived`; what arrived before a failure is kept for the next try."""
    if is_offline():
        raise _unreachable(need, folder, "HF_HUB_OFFLINE is set, so nothing is fetched")
    if not quiet:
        say(f"{need.name}: fetching {shown_size(need.size)} from {redact(need.url)}")
    arriving = arrived.with_name(f".{need.sha256}.incomplete")
    told = 0
    with BytesProgress(f"pull {need.name}", need.size, quiet) as progress:

        def tell(there: int) -> None:
            nonlocal told
            change, told = there - told, there
            progress.update(change)

        patiently(lambda: _fetch_rest(need, folder, arriving, tell))
    if not _is_right(arriving, need):
        seen = sha256_of(arriving)
        arriving.unlink()
        raise HubError(
            f"{need.name}: {redact(need.url)} has another content than the paper's pyproject.toml "
            f"says: its sha256 is {seen}, not {need.sha256}. Nothing of it was kept. Either the "
            "file has changed there, or the sha256 in the pyproject.toml is wrong."
        )
    arriving.replace(arrived)


def _fetch_rest(need: FileNeed, folder: Path, arriving: Path, tell: Callable[[int], None]) -> None:
    other_size = HubError(
        f"{need.name}: {redact(need.url)} has another size than the {need.size:,} bytes that the "
        "paper's pyproject.toml says. Either the file has changed there, or the size is wrong."
    )

    def refuse(response: Any) -> None:
        status = response.status_code
        raise _unreachable(need, folder, f"the server answered {status}", status >= 500)

    try:
        with our_calls():
            fetch_rest(need.url, {}, need.size, arriving, tell, refuse, other_size)
    except HubError as error:
        if error is other_size:
            arriving.unlink(missing_ok=True)
        raise
    except Exception as error:  # of the HTTP library
        if isinstance(error, OSError) and is_of_the_disk(error):
            raise StorageError(arriving, error) from error
        what = redact(f"{type(error).__name__}: {error}".splitlines()[0])
        raise _unreachable(need, folder, what, True) from None


def _unreachable(need: FileNeed, folder: Path, why: str, transient: bool = False) -> HubError:
    return HubError(
        f"{need.name} is not here, and {redact(need.url)} can't be fetched ({why}). Try again with "
        f"a network, or fetch it elsewhere and put it at {folder / need.file}: it has "
        f"{need.size:,} bytes and the sha256 {need.sha256}.",
        transient=transient,
    )


def _is_right(path: Path, need: FileNeed) -> bool:
    return (
        path.is_file()
        and not path.is_symlink()
        and path.stat().st_size == need.size
        and sha256_of(path) == need.sha256
    )
