"""Verify assets by hash, and fetch damaged files again."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from research_data.assets.catalog import Asset, BrokenAsset
from research_data.assets.manifest import MANIFEST
from research_data.assets.verify import find_damage, take_stamps, write_stamps
from research_data.errors import AssetError, DamagedAssetError, HubError, UsageError
from research_data.hub.client import find_repository
from research_data.hub.pull import fetch, pull_dataset, pull_model
from research_data.hub.settings import is_offline
from research_data.progress import BytesProgress


@dataclass
class Health:
    """The result of verifying an asset.

    damaged: file -> what is wrong with it. repaired: the files that were fetched again. trouble:
    the reason if the repair failed.
    """

    folder: Path
    damaged: dict[str, str] = field(default_factory=dict)
    repaired: list[str] = field(default_factory=list)
    trouble: str = ""

    @property
    def sound(self) -> bool:
        """Whether the asset is intact now."""
        return set(self.damaged) <= set(self.repaired)


def examine(asset: Asset | BrokenAsset, repair: bool = False, *, quiet: bool = False) -> Health:
    """Hash every byte of an asset; with repair, fetch damaged files again.

    A failed repair is reported in the result and not raised, so that other assets can be verified.
    """
    health = Health(asset.folder)
    if isinstance(asset, BrokenAsset):
        health.damaged[MANIFEST] = asset.reason
    else:
        manifest = asset.manifest
        with BytesProgress(f"verify {asset.folder.name}", manifest.size, quiet) as progress:
            stamps = take_stamps(asset.folder, manifest.files)  # before hashing: see verify_asset
            health.damaged = find_damage(asset.folder, manifest, manifest.files, progress.update)
        if not health.damaged:
            write_stamps(asset.folder, stamps)
    if health.damaged and repair:
        try:
            if isinstance(asset, BrokenAsset):
                health.repaired = _pull_anew(asset, quiet)
            else:
                health.repaired = repair_asset(asset, health.damaged, quiet=quiet)
        except (AssetError, UsageError) as error:
            health.trouble = str(error)
    return health


def repair_asset(
    asset: Asset, damaged: Collection[str] | None = None, *, quiet: bool = False
) -> list[str]:
    """Fetch the damaged and missing files of an asset again; returns their names.

    damaged: their names, if known already. Raises HubError, AssetError when the asset isn't from
    the hub, StorageError.
    """
    manifest = asset.manifest
    if damaged is None:
        damaged = find_damage(asset.folder, manifest, manifest.files)
    if not damaged:
        return []
    if manifest.source != "hub":
        raise AssetError(_from_no_hub(asset.folder))
    if is_offline():
        raise HubError(f"{asset.folder.name} can't be repaired offline")
    repository = find_repository(asset.kind, manifest.repo_id, manifest.revision)
    fetch(repository, asset.folder, (), manifest, quiet)
    return sorted(damaged)


def _pull_anew(asset: BrokenAsset, quiet: bool) -> list[str]:
    if asset.pullable is None:
        raise DamagedAssetError(asset.folder, _from_no_hub(asset.folder))
    pull = pull_dataset if asset.kind == "dataset" else pull_model
    pull(asset.pullable, quiet=quiet)
    return [MANIFEST]


def _from_no_hub(folder: Path) -> str:
    return (
        f"{folder.name} is not from the hub, so it can't be fetched again: `remove` it, then "
        "import it again or let `train` make it"
    )
