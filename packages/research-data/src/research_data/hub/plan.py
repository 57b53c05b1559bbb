"""Plan a pull without fetching: what is here, what the hub has, what is missing."""

from dataclasses import dataclass, replace
from pathlib import Path

from research_data.assets.catalog import (
    Asset,
    kind_folder,
    matching_assets,
    nearest,
    pullable_link,
)
from research_data.assets.manifest import (
    Kind,
    Manifest,
    check_file_names,
    folder_name,
    refuse_steering,
)
from research_data.assets.publish import look_at
from research_data.assets.verify import check_asset
from research_data.errors import DamagedAssetError, HubError, UsageError
from research_data.hub.card import card_configs
from research_data.hub.client import HubFile, HubRepository, find_repository
from research_data.hub.selection import Configs, dataset_files, model_files
from research_data.hub.settings import is_offline


@dataclass(frozen=True)
class Request:
    """A dataset or model to pull.

    configs, splits: the parts of a dataset; () is all of them. include: patterns of files of a
    model to fetch in addition to the usual ones.
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
        """Whether an asset with this manifest contains all that is requested."""
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
    """What a pull would fetch. files: all requested files. missing: those not here and intact."""

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


def plan_pull(request: Request, offline: bool = False, update: bool = False) -> Plan | Asset:
    """What a pull would fetch, or the asset here that fulfils the request; fetches nothing.

    Raises like pull_dataset; also DamagedAssetError when the asset here is damaged and can't be
    fetched again, because it isn't from the hub or because of offline.
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


def _here_already(request: Request, offline: bool) -> tuple[Asset | None, Request]:
    """The asset here that fulfils the request, or None; and the request to send to the hub if None.

    When an asset here is incomplete, damaged or gone, the request is for that same revision. Raises
    DamagedAssetError when it is damaged and can't be fetched again.
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
    """Refuse configs and splits that the card of a complete dataset doesn't declare."""
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


def _offline_message(request: Request) -> str:
    here = matching_assets(request.kind, request.name, None)
    revisions = ", ".join(asset.folder.name for asset in here)
    return (
        f"{request} is not here (or not all that was requested), and nothing is fetched offline."
        + (
            f" These revisions are here: {revisions}."
            if here
            else nearest(request.kind, request.name)
        )
        + f" Run `research-cli {request.kind} pull {request}` with a network, or copy it from "
        "another machine with `export` and `import`."
    )
