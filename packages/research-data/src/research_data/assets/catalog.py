"""The assets on this disk: found by name, listed, measured, removed.

A folder `datasets/rajpurkar--squad@7b6d24c440a3` is one revision of a dataset. The link `squad`
beside it is the name by which it was pulled, and points to the revision pulled last. .asset.json
lists every name and revision by which an asset was pulled, so that it is found without the link.
"""

import difflib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from research_data.assets.manifest import (
    Kind,
    Manifest,
    read_own_manifest,
    show_manifest,
    why_no_name,
)
from research_data.assets_dir import get_assets_dir
from research_data.errors import AssetError, DamagedAssetError, UsageError

KINDS: tuple[Kind, ...] = ("dataset", "model")
DERIVED = ".derived"  # folder beside the assets of a kind, for derived files; may be removed
USED = ".used"  # empty file in an asset's folder; its modification time is that of the last use
COMMIT_DIGITS = re.compile("[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Asset:
    """A dataset or model in its folder. manifest: the content of its .asset.json."""

    folder: Path
    manifest: Manifest

    @property
    def kind(self) -> Kind:
        """Dataset or model."""
        return self.manifest.kind

    @property
    def names(self) -> list[str]:
        """Its names here: those of the links to it, else its id."""
        repo_id = self.manifest.repo_id
        found = sorted(
            repo_id if link.name == repo_id.replace("/", "--") else link.name
            for link in links_to(self.folder)
        )
        return found or [repo_id]

    @property
    def last_used(self) -> datetime | None:
        """When a run or another program last used it; None when unknown."""
        try:
            return datetime.fromtimestamp((self.folder / USED).stat().st_mtime, UTC)
        except OSError:
            return None

    @property
    def derived(self) -> Path:
        """The folder of the files derived from it; it need not exist."""
        return self.folder.parent / DERIVED / self.folder.name

    def mark_used(self) -> None:
        """Record that it was used now, if its folder is writable."""
        with suppress(OSError):
            (self.folder / USED).touch()


@dataclass(frozen=True)
class BrokenAsset:
    """A folder that should be an asset, and the reason why it isn't."""

    folder: Path
    kind: Kind
    reason: str

    @property
    def derived(self) -> Path:
        """The folder of the files derived from it; it need not exist."""
        return self.folder.parent / DERIVED / self.folder.name

    @property
    def pullable(self) -> str | None:
        """Its NAME@REVISION on the hub; None when it doesn't come from the hub."""
        return _pullable(self.folder.name)


def kind_folder(kind: Kind) -> Path:
    """The folder of the assets of a kind."""
    return get_assets_dir() / f"{kind}s"


def split_name(text: str) -> tuple[str, str | None]:
    """`squad@v1` -> ("squad", "v1"); without a revision ("squad", None). Raises UsageError."""
    name, at, revision = text.partition("@")
    if "://" in text:
        raise UsageError(
            f"{text!r} is an address; give only the part after the host name, such as `org/name`"
        )
    if not name or (at and not revision):
        raise UsageError(f"{text!r}: write NAME or NAME@REVISION")
    if reason := why_no_name(name):
        raise UsageError(f"{name[:80]!r} is not the name of a dataset or model: it {reason}")
    return name, revision or None


def find_asset(kind: Kind, text: str) -> Asset:
    """The asset that text names: a name, an id, either with @REVISION, or a folder's name.

    Raises UsageError, with the most similar names, when no asset or several match;
    DamagedAssetError.
    """
    name, revision = split_name(text)
    found = matching_assets(kind, name, revision)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(asset.folder.name for asset in found)
        raise UsageError(f"{text}: several revisions are here: {names}. Choose one of them.")
    if broken := find_broken(kind, name, revision):
        raise DamagedAssetError(broken.folder, broken.reason)
    if others := revisions_of(kind, name):
        revisions = ", ".join(other.folder.name for other in others)
        raise UsageError(f"{kind} {text} is not here; other revisions of it are: {revisions}")
    raise UsageError(
        f"{kind} {text!r} is not here.{nearest(kind, name)} `research-cli {kind} list` shows the "
        f"{kind}s that are, `research-cli {kind} pull {text}` fetches this one."
    )


def nearest(kind: Kind, name: str) -> str:
    """A sentence with the names here that are similar to name; empty when there is none."""
    assets = [asset for asset in list_assets(kind) if isinstance(asset, Asset)]
    known = {called for asset in assets for called in (*asset.names, asset.manifest.repo_id)}
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return f" Similar names here: {', '.join(near)}." if near else ""


def find_broken(kind: Kind, name: str, revision: str | None) -> BrokenAsset | None:
    """The folder of that name that should be an asset but isn't, if there is one."""
    linked = linked_folder(kind, name)
    stem = name.replace("/", "--")
    for other in list_assets(kind):
        if isinstance(other, BrokenAsset):
            its_stem, _, its_revision = other.folder.name.rpartition("@")
            named = other.folder == linked or stem == its_stem
            if named and (revision is None or its_revision.startswith(revision[:12])):
                return other
    return None


def matching_assets(kind: Kind, name: str, revision: str | None) -> list[Asset]:
    """The assets of that name or id at a revision.

    revision: a commit or its first digits, or the branch or tag by which it was pulled. None means
    the revision that the name links to, or all of them when there is no such link.
    """
    if revision is None and (linked := linked_folder(kind, name)):
        with suppress(AssetError):
            return [Asset(linked, read_own_manifest(linked))]
        return []
    newest_first = revisions_of(kind, name)
    if revision is None:
        return newest_first
    if COMMIT_DIGITS.fullmatch(revision) and (
        exact := [a for a in newest_first if a.manifest.revision.startswith(revision)]
    ):
        return exact
    # A branch moves: of the commits pulled by its name, the latest is meant.
    return [a for a in newest_first if revision in _asked_revisions(a.manifest)][:1]


def revisions_of(kind: Kind, name: str) -> list[Asset]:
    """Every revision here of the asset with that name or id, the last pulled first."""
    stem, linked = name.replace("/", "--"), linked_folder(kind, name)
    stems = {stem} | ({linked.name.rpartition("@")[0]} if linked else set())
    found = [
        asset
        for asset in list_assets(kind)
        if isinstance(asset, Asset)
        and (
            asset.folder.name.rpartition("@")[0] in stems
            or name in {asked.partition("@")[0] for asked in asset.manifest.asked_as}
        )
    ]
    return sorted(found, key=lambda asset: asset.manifest.pulled_at, reverse=True)


def asset_folder(name: str, revision: str) -> Path:
    """The folder of the dataset, or else the model, of that name at that revision.

    Raises UsageError when it isn't here.
    """
    for kind in KINDS:
        for asset in matching_assets(kind, name, revision):
            return asset.folder
    raise UsageError(
        f"{name}@{revision[:12]} isn't here. `research-cli dataset pull {name}@{revision}` (or "
        "`model pull`) fetches it from the hub; `train` makes a generated dataset again."
    )


def list_assets(kind: Kind) -> list[Asset | BrokenAsset]:
    """Every asset of a kind, sorted by folder name; a broken one comes with the reason."""
    assets: list[Asset | BrokenAsset] = []
    for folder in asset_folders(kind):
        try:
            assets.append(Asset(folder, read_own_manifest(folder)))
        except AssetError as error:
            reason = error.what if isinstance(error, DamagedAssetError) else str(error)
            assets.append(BrokenAsset(folder, kind, reason))
    return assets


def asset_folders(kind: Kind) -> Iterator[Path]:
    """The folders of a kind that are assets, broken ones included."""
    for path in entries_of(kind):
        hidden = path.name.startswith(".")
        if "@" in path.name and not hidden and path.is_dir() and not path.is_symlink():
            yield path


def entries_of(kind: Kind) -> list[Path]:
    """Everything in the folder of the assets of a kind, sorted. Raises AssetError."""
    folder = kind_folder(kind)
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise AssetError(
            f"{folder} is a file, but must be the folder of the {kind}s. Move it away, or set "
            "RESEARCH_ASSETS to another folder."
        ) from None
    except OSError as error:
        raise AssetError(f"{folder} can't be read: {error.strerror}") from error


def show_manifests() -> None:
    """Make every asset here readable by version 0.1, which looks for manifests by the old name."""
    for kind in KINDS:
        for folder in asset_folders(kind):
            show_manifest(folder)


def disk_size(folder: Path) -> int:
    """Bytes of the files below a folder; hard links count once, symbolic links aren't followed."""
    seen: dict[tuple[int, int], int] = {}
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                status = (Path(root) / name).lstat()
                seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def linked_folder(kind: Kind, name: str) -> Path | None:
    """The folder that a name links to, which need not exist; None when the name is no link."""
    link = kind_folder(kind) / name.replace("/", "--")
    return link.parent / link.readlink() if link.is_symlink() else None


def pullable_link(kind: Kind, name: str) -> str | None:
    """The NAME@REVISION on the hub of the asset that a name links to; None if not from the hub."""
    folder = linked_folder(kind, name)
    return _pullable(folder.name) if folder else None


def links_to(folder: Path) -> list[Path]:
    """The links beside an asset's folder that point to it: its names."""
    with suppress(FileNotFoundError):
        return [
            path
            for path in sorted(folder.parent.iterdir())
            if path.is_symlink() and path.readlink() == Path(folder.name)
        ]
    return []


def _asked_revisions(manifest: Manifest) -> set[str]:
    asked = {text.partition("@")[2] for text in manifest.asked_as}
    return {*asked, manifest.requested_revision or ""} - {""}


def _pullable(name: str) -> str | None:
    stem, _, revision = name.rpartition("@")
    owner, double, rest = stem.partition("--")
    return f"{owner}/{rest}@{revision}" if double else None
