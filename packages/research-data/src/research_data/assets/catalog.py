"""The assets on this disk: found by name, listed, measured, removed.

A folder `datasets/rajpurkar--squad@7b6d24c440a3` is one revision of a dataset; the link `squad`
beside it is the name it was asked for by, on the revision last asked for. .asset.json keeps every
name and revision that an asset was asked for by, so that it is found without the link.
"""

import difflib
import os
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
from research_data.assets_dir import get_assets_dir, this_workspace
from research_data.durable import replace_link
from research_data.errors import AssetError, DamagedAssetError, StorageError, UsageError
from research_data.shown import say

KINDS: tuple[Kind, ...] = ("dataset", "model")
DERIVED = ".derived"  # beside the assets of a kind: what is made from them and may be removed
USED = ".used"  # in an asset's folder; its time of change says when it was last used
COMMIT_DIGITS = re.compile("[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Asset:
    """A dataset or model in its folder. manifest: what .asset.json says of it."""

    folder: Path
    manifest: Manifest

    @property
    def kind(self) -> Kind:
        """Dataset or model."""
        return self.manifest.kind

    @property
    def names(self) -> list[str]:
        """What it is called here: the names of the links to it, else its id."""
        repo_id = self.manifest.repo_id
        found = sorted(
            repo_id if link.name == repo_id.replace("/", "--") else link.name
            for link in _links_to(self.folder)
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

    @property
    def derived(self) -> Path:
        """Where what was made from it lies, there or not."""
        return self.folder.parent / DERIVED / self.folder.name

    @property
    def pullable(self) -> str | None:
        """The NAME@REVISION that a hub would know it by; None for what came from no hub."""
        return _pullable(self.folder.name)


def kind_folder(kind: Kind) -> Path:
    """Where the assets of a kind lie."""
    return get_assets_dir() / f"{kind}s"


def split_name(text: str) -> tuple[str, str | None]:
    """`squad@v1` -> ("squad", "v1"); without a revision ("squad", None). Raises UsageError."""
    name, at, revision = text.partition("@")
    if "://" in text:
        raise UsageError(f"{text!r} is an address; write what follows the hub's name, `org/name`")
    if not name or (at and not revision):
        raise UsageError(f"{text!r}: write NAME or NAME@REVISION")
    if reason := why_no_name(name):
        raise UsageError(f"{name[:80]!r} is no name of a dataset or model: it {reason}")
    return name, revision or None


def find_asset(kind: Kind, text: str) -> Asset:
    """The asset that text names: NAME, ID, either with @REVISION, or a folder's name.

    Raises UsageError when none or several are meant, naming the nearest; DamagedAssetError.
    """
    name, revision = split_name(text)
    found = matching_assets(kind, name, revision)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(asset.folder.name for asset in found)
        raise UsageError(f"{text}: several revisions are here: {names}. Name one.")
    if broken := find_broken(kind, name, revision):
        raise DamagedAssetError(broken.folder, broken.reason)
    if others := revisions_of(kind, name):
        revisions = ", ".join(other.folder.name for other in others)
        raise UsageError(f"no {kind} {text} here; its other revisions: {revisions}")
    raise UsageError(
        f"no {kind} {text!r} here.{nearest(kind, name)} `research-cli {kind} list` shows what "
        f"there is, `research-cli {kind} pull {text}` fetches it."
    )


def nearest(kind: Kind, name: str) -> str:
    """A hint at the names here that are like name; empty where none is."""
    assets = [asset for asset in list_assets(kind) if isinstance(asset, Asset)]
    known = {called for asset in assets for called in (*asset.names, asset.manifest.repo_id)}
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    return f" Nearest here: {', '.join(near)}." if near else ""


def find_broken(kind: Kind, name: str, revision: str | None) -> BrokenAsset | None:
    """A folder of that name that should be an asset and isn't."""
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
    """The assets of that name or id: at that revision, or the one the name links to, or all.

    revision: a commit or its first digits, or the branch or tag it was asked for by.
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
    # A branch moves: of the commits it was pulled at the latest is meant.
    return [a for a in newest_first if revision in _asked_revisions(a.manifest)][:1]


def revisions_of(kind: Kind, name: str) -> list[Asset]:
    """Every revision here of what has that name or id, the newest pulled first."""
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
    """The folder of a dataset, or else a model, of that name at that commit or key.

    Raises UsageError when it isn't here.
    """
    for kind in KINDS:
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
            assets.append(Asset(folder, read_own_manifest(folder)))
        except AssetError as error:
            reason = error.what if isinstance(error, DamagedAssetError) else str(error)
            assets.append(BrokenAsset(folder, kind, reason))
    return assets


def asset_folders(kind: Kind) -> Iterator[Path]:
    """The folders of a kind that are assets, or should be."""
    for path in _entries(kind):
        hidden = path.name.startswith(".")
        if "@" in path.name and not hidden and path.is_dir() and not path.is_symlink():
            yield path


def _entries(kind: Kind) -> list[Path]:
    """Whatever lies where the assets of a kind do, by name. Raises AssetError."""
    folder = kind_folder(kind)
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise AssetError(
            f"{folder} is a file, where the {kind}s belong. Move it away, or set RESEARCH_ASSETS "
            "to another folder."
        ) from None
    except OSError as error:
        raise AssetError(f"{folder} can't be read: {error.strerror}") from error


def show_manifests() -> None:
    """Have every asset here readable by version 0.1, which knows manifests by their old name."""
    for kind in KINDS:
        for folder in asset_folders(kind):
            show_manifest(folder)


def refuse_name(folder: Path, name: str) -> None:
    """Refuse a name for an asset's folder, there or not, that means something else already.

    Raises UsageError: it is another asset's, or differs from another's only by case.
    """
    link = folder.with_name(name.replace("/", "--"))
    if not folder.parent.is_dir():
        return
    for other in folder.parent.iterdir():
        shown = other.name.rpartition("@")[0] or other.name
        if shown != link.name and shown.casefold() == link.name.casefold():
            raise UsageError(
                f"{name!r} and {shown!r}, which is here, differ only by case: they would be one "
                f"on some machines. Use {shown!r}, or another --name."
            )
    if os.path.lexists(link) and not link.is_symlink():
        raise UsageError(f"{link} is a file of somebody's, where the name {name!r} belongs")
    held = link.readlink().name if link.is_symlink() else ""
    if held and held.rpartition("@")[0] != folder.name.rpartition("@")[0]:
        raise UsageError(
            f"{name!r} is the name of {held}. Use another --name, or `remove {name}` first."
        )


def name_asset(asset: Asset, name: str) -> None:
    """Link name to an asset, beside it. Raises as refuse_name does, StorageError."""
    refuse_name(asset.folder, name)
    link = asset.folder.with_name(name.replace("/", "--"))
    if not link.is_symlink() or link.readlink() != Path(asset.folder.name):
        replace_link(link, asset.folder.name)


def remove_asset(asset: Asset | BrokenAsset, force: bool = False) -> int:
    """Remove an asset, what was derived from it and the names that link to it; returns bytes freed.

    A name goes on to the newest revision that is left. Raises UsageError when a paper links or
    needs it, unless force; StorageError.
    """
    refuse_used(asset, force)
    with locked(asset.folder):
        freed = disk_size(asset.folder) + disk_size(asset.derived)
        others = [
            other
            for other in list_assets("model" if asset.folder.parent.name == "models" else "dataset")
            if isinstance(other, Asset)
            and other.folder != asset.folder
            and other.folder.name.rpartition("@")[0] == asset.folder.name.rpartition("@")[0]
        ]
        newest = max(others, key=lambda other: other.manifest.pulled_at, default=None)
        try:
            for link in _links_to(asset.folder):
                if newest:
                    replace_link(link, newest.folder.name)
                else:
                    link.unlink()
        except OSError as error:
            raise StorageError(asset.folder, error) from error
        for folder in (asset.derived, asset.folder):
            remove_folder(folder)
    return freed


def refuse_used(asset: Asset | BrokenAsset, force: bool = False) -> None:
    """Raise UsageError when a paper links or needs an asset, unless force."""
    if (users := users_of([asset.folder])[asset.folder]) and not force:
        raise UsageError(
            f"{asset.folder.name} is used by {', '.join(users)}. --force removes it all the same; "
            "`train` fetches or makes it again."
        )


def remove_derived(asset: Asset | BrokenAsset) -> int:
    """Remove what was made from an asset; it is made again when needed. Returns bytes freed."""
    freed = disk_size(asset.derived)
    remove_folder(asset.derived)
    return freed


def leftovers(kind: Kind) -> list[Path]:
    """What killed pulls, imports and removals left: a pull goes on with it, nothing else does."""
    hidden = [path for path in _entries(kind) if path.name.startswith(".") and "@" in path.name]
    return [path for path in hidden if path.name.endswith((".partial", ".removed"))]


def remove_leftovers(kind: Kind) -> int:
    """Remove the leftovers that no process is at work on; returns bytes freed."""
    freed = 0
    for path in leftovers(kind):
        folder = path.with_name(path.name[1:].rpartition(".")[0])
        with suppress(BlockingIOError), locked(folder, wait=False):
            freed += disk_size(path)
            shutil.rmtree(path, ignore_errors=True)
    return freed


def users_of(folders: Iterable[Path]) -> dict[Path, list[str]]:
    """For each asset's folder, the papers and projects of the workspace that link or need it."""
    users: dict[Path, list[str]] = {folder: [] for folder in folders}
    workspace = this_workspace()
    if workspace is None:
        return users
    real = {folder.resolve(): folder for folder in users}
    for place in ("papers", "projects"):
        for pyproject in sorted((workspace / place).glob("*/pyproject.toml")):
            for folder in real.keys() & _used_by(pyproject):
                users[real[folder]].append(pyproject.parent.name)
    return users


def disk_size(folder: Path) -> int:
    """Bytes of the files below a folder; hard links count once, symbolic links what they take."""
    seen: dict[tuple[int, int], int] = {}
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                status = (Path(root) / name).lstat()
                seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())


def linked_folder(kind: Kind, name: str) -> Path | None:
    """The folder that a name links to, there or not."""
    link = kind_folder(kind) / name.replace("/", "--")
    return link.parent / link.readlink() if link.is_symlink() else None


def pullable_link(kind: Kind, name: str) -> str | None:
    """What a name links to as NAME@REVISION for a hub, where that came from one."""
    folder = linked_folder(kind, name)
    return _pullable(folder.name) if folder else None


@contextmanager
def locked(folder: Path, quiet: bool = True, wait: bool = True) -> Iterator[None]:
    """Hold the lock that only one process has for an asset's folder; its file always stays.

    Raises StorageError, BlockingIOError when another process holds it and wait is False.
    """
    import filelock

    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not wait:
            raise BlockingIOError(f"{folder}: another process is at work on it") from None
        if not quiet:
            say(f"{folder.name}: another process is at work on it; waiting")
        lock.acquire()
    except OSError as error:
        raise StorageError(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def remove_folder(folder: Path) -> None:
    """Out of sight in one step, so that a kill leaves no half asset; then file by file."""
    going = folder.with_name(f".{folder.name}.removed")
    try:
        if going.exists():
            shutil.rmtree(going)
        if folder.exists():
            folder.rename(going)
            shutil.rmtree(going)
    except OSError as error:
        raise StorageError(folder, error) from error


def _used_by(pyproject: Path) -> set[Path]:
    """The asset folders that a member links, or names in its pyproject."""
    data = pyproject.parent / "data"
    links = [data] if data.is_symlink() else list(data.glob("*"))
    folders = {link.resolve() for link in links if link.is_symlink()}
    for kind, needs in _needs_of(pyproject).items():
        for need in needs:
            with suppress(UsageError):
                folders |= {a.folder.resolve() for a in matching_assets(kind, *split_name(need))}
    return folders


def _needs_of(pyproject: Path) -> Mapping[Kind, list[str]]:
    """The datasets and models that a member's pyproject names; what is wrong there `train` says."""
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
        research = tool.get("research", {})
        needs: dict[Kind, list[str]] = {"dataset": list(research.get("generated", {})), "model": []}
        for kind in KINDS:
            for need in research.get(f"{kind}s", []):
                needs[kind].append(str(need["name"] if isinstance(need, dict) else need))
    except (OSError, ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return {}
    return needs


def _links_to(folder: Path) -> list[Path]:
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
