"""Let a run read only the datasets and models that its paper pins.

Our own functions answer at the pinned revision. The hub's clients, asked by name
(`from_pretrained("bert-base-uncased")`, `load_dataset("squad")`), would read whatever a cache of
this machine holds, or the newest there is. In a run they find one cache alone: pinned repositories
in the hub's own layout, as links to assets. What isn't in it ends in a sentence. Paths are not
their business: `from_pretrained(folder)` and `load_dataset("csv", data_files=...)` work as ever.
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
FOLDER = ".in-runs"  # among assets: what the clients may find in runs; removable at any time
# What the clients raise, or name in what they say, when they may not ask for what isn't there.
NOT_FOUND = ("OfflineModeIsEnabled", "LocalEntryNotFoundError")


@contextmanager
def pinned_assets(revisions: Mapping[str, str]) -> Iterator[None]:
    """In this block, child processes included, only these assets can be had: name -> revision.

    Raises UsageError when the hub's clients are asked by name for anything else.
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
    """An environment in which a run of these assets is started; it may still pull them."""
    return {**environment, RUN_ASSETS: json.dumps(dict(revisions))}


def pins_here() -> dict[str, str] | None:
    """Name -> revision of the assets of the run that this is part of; None outside of runs."""
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
    except AssetError:  # assets that can only be read: the clients find nothing then
        folder = Path(tempfile.gettempdir()) / f"research-in-runs-{os.getuid()}-{key}"
    return folder / "hub", folder / "datasets"


def _add_to_cache(cache: Path, name: str, asset: Asset, place: Path) -> None:
    """A repository as the hub's client keeps it, its files being the asset's. place: its end."""
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
    """What a client said that wasn't found in a run; None for any other error."""
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
        f"this run's code asked the hub's client for something by name ({asked}). A run reads only "
        "what it records: "
        + (f"its data is {needs}, a folder each, " if needs else "its paper pins nothing, ")
        + "which load_dataset and from_pretrained take as well as a name. Add what is missing to "
        "datasets or models under [tool.research] in its pyproject."
    )
