"""The assets on this disk: found by name, listed, measured, removed.

A folder `datasets/rajpurkar--squad@7b6d24c440a3` is one revision of a dataset; the link `squad`
beside it is the name it was asked for by, on the revision last asked for.
"""

import difflib
import os
import re
import shutil
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from research_data.assets import get_assets_dir, this_workspace
from research_data.durable import replace_link
from research_data.errors import AssetError, DamagedAssetError, StorageError, UsageError
from research_data.manifest import LONGEST_NAME, Kind, Manifest, folder_name, read_manifest

DERIVED = ".derived"  # beside the assets of a kind: what is made from them and may be removed
USED = ".used"  # in an asset's folder; its time of change says when it was last used
COMMIT_DIGITS = re.compile("[0-9a-f]{7,64}")


@dataclass(frozen=True)
class Asset:
    """A dataset or model in its folder. manifest: what asset.json says of it."""

    folder: Path
    manifest: Manifest

    @property
    def kind(self) -> Kind:
        """Dataset or model."""
        return self.manifest.kind

    @property
    def names(self) -> list[str]:
        """What it is called: the names of the links to it, else its id."""
        repo_id = self.manifest.repo_id
        found = sorted(
            repo_id if path.name == repo_id.replace("/", "--") else path.name
            for path in self.folder.parent.iterdir()
            if path.is_symlink() and path.readlink() == Path(self.folder.name)
        )
        return found or [repo_id]

    @property
    def last_used(self) -> datetime | None:
        """When a training or a program last asked for it."""
        try:
            return datetime.fromtimestamp((self.folder / USED).stat().st_mtime, UTC)
        except OSError:
            return None

    @property
    def derived(self) -> Path:
        """Where what is made from it lies, there or not."""
        return self.folder.parent / DERIVED / self.folder.name

    def mark_used(self) -> None:
        """Remember that it was used now, where its folder can be written to."""
        with suppress(OSError):
            (self.folder / USED).touch()


@dataclass(frozen=True)
class BrokenAsset:
    """A folder that should be an asset, and why it isn't."""

    folder: Path
    kind: Kind
    reason: str


def kind_folder(kind: Kind) -> Path:
    """Where the assets of a kind lie."""
    return get_assets_dir() / f"{kind}s"


def split_name(text: str) -> tuple[str, str | None]:
    """`squad@v1` -> ("squad", "v1"); without a revision ("squad", None). Raises UsageError."""
    name, at, revision = text.partition("@")
    if not name or (at and not revision):
        raise UsageError(f"{text!r}: write NAME or NAME@REVISION")
    check_name(name)
    return name, revision or None


def check_name(name: str) -> None:
    """Refuse a name of an asset that could not be a folder's. Raises UsageError."""
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name, re.ASCII) or ".." in name:
        raise UsageError(
            f"{name[:80]!r} is no name of a dataset or model: letters, digits and . _ - with at "
            "most one / between owner and name"
        )
    longest = LONGEST_NAME - len(f".{folder_name('', '0' * 12)}.partial.lock")
    if len(name) + 1 > longest:
        raise UsageError(f"{name[:40]}... is {len(name)} long, a file system takes {longest - 1}")


def find_asset(kind: Kind, text: str) -> Asset:
    """The asset that text names: NAME, ID, either with @REVISION, or a folder's name.

    Raises UsageError when none or several are meant, naming the nearest; DamagedAssetError.
    """
    found = matching_assets(kind, *split_name(text))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(asset.folder.name for asset in found)
        raise UsageError(f"{text}: several revisions are here: {names}. Name one.")
    present = [asset for asset in list_assets(kind) if isinstance(asset, Asset)]
    broken = [asset for asset in list_assets(kind) if isinstance(asset, BrokenAsset)]
    name = split_name(text)[0]
    for other in broken:
        if other.folder.name == text or _linked(kind, name) == other.folder:
            raise DamagedAssetError(other.folder, other.reason)
    if others := _revisions_of(kind, name):
        revisions = ", ".join(other.folder.name for other in others)
        raise UsageError(f"no {kind} {text} here; its other revisions: {revisions}")
    known = {called for asset in present for called in (*asset.names, asset.manifest.repo_id)}
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = f" Nearest: {', '.join(near)}." if near else ""
    raise UsageError(
        f"no {kind} {text!r} here.{hint} `research-cli {kind} list` shows what there is, "
        f"`research-cli {kind} pull {text}` fetches it."
    )


def matching_assets(kind: Kind, name: str, revision: str | None) -> list[Asset]:
    """The assets of that name or id: at that revision, or the one the name links to, or all.

    revision: a commit or its first digits, or the branch or tag it was asked for by.
    """
    if revision is None and (linked := _linked(kind, name)):
        with suppress(AssetError):
            return [Asset(linked, read_manifest(linked))]
        return []
    newest_first = [
        asset
        for asset in _revisions_of(kind, name)
        if revision is None or _is_revision(asset.manifest, revision)
    ]
    is_commit = revision is not None and COMMIT_DIGITS.fullmatch(revision)
    # A branch moves: of the commits it was pulled at the latest is meant.
    return newest_first[:1] if revision is not None and not is_commit else newest_first


def asset_folder(name: str, revision: str) -> Path:
    """The folder of a dataset, or else a model, of that name at that commit or key.

    Raises UsageError when it isn't here.
    """
    kinds: tuple[Kind, ...] = ("dataset", "model")
    for kind in kinds:
        for asset in matching_assets(kind, name, revision):
            return asset.folder
    raise UsageError(
        f"{name}@{revision[:12]} isn't here. `research-cli dataset pull {name}@{revision}` (or "
        "model pull) fetches it from the hub; what was generated is made by `train`."
    )


def list_assets(kind: Kind) -> list[Asset | BrokenAsset]:
    """Every asset of a kind, by folder name; what can't be read comes with the reason."""
    assets: list[Asset | BrokenAsset] = []
    for folder in asset_folders(kind):
        try:
            assets.append(Asset(folder, read_manifest(folder)))
        except AssetError as error:
            reason = error.what if isinstance(error, DamagedAssetError) else str(error)
            assets.append(BrokenAsset(folder, kind, reason))
    return assets


def asset_folders(kind: Kind) -> Iterator[Path]:
    """The folders of a kind that are assets, or should be."""
    with suppress(FileNotFoundError):
        for path in sorted(kind_folder(kind).iterdir()):
            if "@" in path.name and not path.name.startswith(".") and not path.is_symlink():
                yield path


def name_asset(asset: Asset, name: str) -> None:
    """Link name to an asset, beside it. Raises UsageError when a name differs only by case."""
    link = asset.folder.with_name(name.replace("/", "--"))
    for other in asset.folder.parent.iterdir():
        if other.name != link.name and other.name.casefold() == link.name.casefold():
            raise UsageError(
                f"{name!r} and {other.name!r}, which is here, differ only by case: they would be "
                f"one on some machines. Use {other.name!r}."
            )
    if not link.is_symlink() or link.readlink() != Path(asset.folder.name):
        replace_link(link, asset.folder.name)


def remove_asset(asset: Asset, force: bool = False) -> int:
    """Remove an asset, what was derived from it and the names that link to it; returns bytes freed.

    Raises UsageError when a paper links or needs it, unless force; StorageError.
    """
    if (users := users_of(asset)) and not force:
        raise UsageError(
            f"{asset.folder.name} is used by {', '.join(users)}. --force removes it all the same; "
            "their data can be pulled or made again."
        )
    freed = disk_size(asset.folder) + disk_size(asset.derived)
    others = [
        other
        for other in _revisions_of(asset.kind, asset.manifest.repo_id)
        if other.folder != asset.folder
    ]
    for path in list(asset.folder.parent.iterdir()):
        if path.is_symlink() and path.readlink() == Path(asset.folder.name):
            if others:  # the name goes on to the newest revision that is left
                replace_link(path, others[0].folder.name)
            else:
                path.unlink()
    remove_derived(asset)
    _remove_folder(asset.folder)
    for lock in asset.folder.parent.glob(f".{asset.folder.name}.lock"):
        lock.unlink()
    return freed


def remove_derived(asset: Asset) -> int:
    """Remove what was made from an asset; it is made again when needed. Returns bytes freed."""
    freed = disk_size(asset.derived)
    if asset.derived.exists():
        _remove_folder(asset.derived)
    return freed


def users_of(asset: Asset) -> list[str]:
    """The papers and projects of the workspace that link or need an asset."""
    return [member for member, folders in _links_and_needs() if asset.folder in folders]


def needs_of(pyproject: Path) -> dict[Kind, list[str]]:
    """The datasets and models that a member's pyproject names under [tool.research]."""
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
        research = tool.get("research", {})
        kinds: tuple[tuple[Kind, str], ...] = (("dataset", "datasets"), ("model", "models"))
        return {kind: [str(need) for need in research.get(key, [])] for kind, key in kinds}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # said where the member is used


def disk_size(folder: Path) -> int:
    """Bytes of the files below a folder, hard links and symbolic links counted once or not."""
    seen: dict[tuple[int, int], int] = {}
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                status = (Path(root) / name).lstat()
                seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def _links_and_needs() -> Sequence[tuple[str, set[Path]]]:
    workspace = this_workspace()
    if workspace is None:
        return []
    found = []
    for pyproject in sorted(workspace.glob("p*/*/pyproject.toml")):
        if pyproject.parts[-3] not in ("papers", "projects"):
            continue
        data = pyproject.parent / "data"
        links = [data] if data.is_symlink() else sorted(data.glob("*"))
        folders = {link.resolve() for link in links if link.is_symlink()}
        for kind, needs in needs_of(pyproject).items():
            for need in needs:
                with suppress(UsageError):
                    folders |= {
                        a.folder.resolve() for a in matching_assets(kind, *split_name(need))
                    }
        found.append((pyproject.parent.name, folders))
    return found


def _revisions_of(kind: Kind, name: str) -> list[Asset]:
    """Every revision here of what name is the id of, or links to; the newest pulled first."""
    found = [a for a in list_assets(kind) if isinstance(a, Asset) and _is_called(a, name)]
    return sorted(found, key=lambda asset: asset.manifest.pulled_at, reverse=True)


def _linked(kind: Kind, name: str) -> Path | None:
    link = kind_folder(kind) / name.replace("/", "--")
    return link.parent / link.readlink() if link.is_symlink() else None


def _is_called(asset: Asset, name: str) -> bool:
    """Whether name is the asset's id, or links to a revision, this or another, of the same."""
    link = _linked(asset.kind, name)
    stem = link.name.rpartition("@")[0] if link else name.replace("/", "--")
    return asset.folder.name.rpartition("@")[0] == stem


def _is_revision(manifest: Manifest, revision: str) -> bool:
    if COMMIT_DIGITS.fullmatch(revision) and manifest.revision.startswith(revision):
        return True
    return revision == manifest.requested_revision


def _remove_folder(folder: Path) -> None:
    """Out of sight in one step, so that a kill leaves no half asset; then file by file."""
    going = folder.with_name(f".{folder.name}.removed")
    try:
        shutil.rmtree(going, ignore_errors=True)
        folder.rename(going)
        shutil.rmtree(going)
    except OSError as error:
        raise StorageError(folder, error) from error
