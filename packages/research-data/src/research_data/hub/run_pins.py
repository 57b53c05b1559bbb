"""Let a run read only the datasets and models that its paper pins.

Our own functions return the pinned revision. The hub's clients, called with a name
(`from_pretrained("bert-base-uncased")`, `load_dataset("squad")`), would read any revision in a
cache of this machine, or the newest one. In a run they find only one cache, which has the pinned
repositories in the hub's own layout, as links to assets. Other names raise a UsageError. Calls with
paths are not affected: `from_pretrained(folder)`, `load_dataset("csv", data_files=...)`.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from research_data.assets.catalog import KINDS, Asset, matching_assets
from research_data.assets_dir import get_assets_dir
from research_data.durable import new_folder
from research_data.errors import AssetError, UsageError
from research_data.hub.address import redact
from research_data.hub.settings import only_from

RUN_ASSETS = "RESEARCH_RUN_ASSETS"  # in a run's environment: JSON, name -> revision of its assets
FOLDER = ".in-runs"  # folder in assets with the caches for runs; may be removed at any time
# Errors that the clients raise, or name in messages, when something is missing while offline.
NOT_FOUND = ("OfflineModeIsEnabled", "LocalEntryNotFoundError")


@contextmanager
def pinned_assets(revisions: Mapping[str, str]) -> Iterator[None]:
    """Let this block and its child processes read only these assets: name -> revision.

    Raises UsageError when the hub's clients are called with any other name.
    """
    before = os.environ.get(RUN_ASSETS)
    os.environ[RUN_ASSETS] = json.dumps(dict(revisions))
    try:
        with only_from(*_caches(revisions)):
            yield
    except Exception as error:
        if (asked := _asked_by_name(error)) is None:
            raise
        raise UsageError(_not_recorded(revisions, asked)) from error
    finally:
        if before is None:
            os.environ.pop(RUN_ASSETS, None)
        else:
            os.environ[RUN_ASSETS] = before


def with_pins(environment: Mapping[str, str], revisions: Mapping[str, str]) -> dict[str, str]:
    """The environment variables to start a run of these assets with; it may still pull them."""
    return {**environment, RUN_ASSETS: json.dumps(dict(revisions))}


def pins_here() -> dict[str, str] | None:
    """Name -> revision of the assets that the current run pins; None outside of a run."""
    try:
        pins = json.loads(os.environ.get(RUN_ASSETS, "null"))
    except (ValueError, RecursionError):
        return None
    return {str(k): str(v) for k, v in pins.items()} if isinstance(pins, dict) else None


def _caches(revisions: Mapping[str, str]) -> tuple[Path, Path]:
    """The hub's and `datasets`' caches for runs of these assets."""
    key = hashlib.sha256(json.dumps(sorted(revisions.items())).encode()).hexdigest()[:16]
    pinned = [
        asset
        for name, revision in revisions.items()
        for kind in KINDS
        for asset in matching_assets(kind, name, revision)
        if asset.manifest.source == "hub"
    ]
    folder = get_assets_dir() / FOLDER / key
    try:
        if not folder.exists():
            with suppress(FileExistsError), new_folder(folder) as partial:
                (partial / "hub").mkdir()
                (partial / "datasets").mkdir()
                for asset in pinned:
                    for name in {asset.manifest.repo_id, *asset.names, *revisions}:
                        if asset in matching_assets(asset.kind, name, asset.manifest.revision):
                            _add_to_cache(partial / "hub", name, asset, folder / "hub")
    except AssetError:  # read-only assets: the clients then find nothing
        folder = Path(tempfile.gettempdir()) / f"research-in-runs-{os.getuid()}-{key}"
    return folder / "hub", folder / "datasets"


def _add_to_cache(cache: Path, name: str, asset: Asset, place: Path) -> None:
    """Add an asset to a cache in the hub client's layout, as links to its files.

    place: the folder that the cache will be renamed to, from which the links are relative.
    """
    repository = f"{asset.kind}s--{name.replace('/', '--')}"
    if (cache / repository).exists():
        return
    (cache / repository / "refs").mkdir(parents=True)
    (cache / repository / "snapshots").mkdir()
    revision = asset.manifest.revision
    (cache / repository / "refs" / "main").write_text(revision, encoding="utf-8")
    target = os.path.relpath(asset.folder, place / repository / "snapshots")
    (cache / repository / "snapshots" / revision).symlink_to(target)


def _asked_by_name(error: BaseException) -> str | None:
    """The client's message that something was not found in a run; None for any other error."""
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if any(word in f"{type(each).__name__} {each}" for word in NOT_FOUND):
            return redact(" ".join(str(error).split()))[:300]
        each = each.__cause__ or each.__context__
    return None


def _not_recorded(revisions: Mapping[str, str], asked: str) -> str:
    needs = ", ".join(f"run.asset({name!r})" for name in revisions)
    return (
        f"this run's code asked the hub's client by name for something that its paper doesn't pin "
        f"({asked}). "
        + (
            f"Pass a folder to load_dataset or from_pretrained instead of a name: {needs}. "
            if needs
            else "The paper pins nothing. "
        )
        + "To use anything else, add it to datasets or models under [tool.research] in the paper's "
        "pyproject.toml, and pass its folder."
    )
