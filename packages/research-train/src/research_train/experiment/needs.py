"""Find, pull or make the data and models that a member's pyproject names, and link them.

[tool.research]
datasets = ["squad@7b6d24c440a36b6815f21b70d25016731768db1f"]     # from the hub, by commit
models = ["bert-base-uncased@86b5e0934494"]                       # the first digits are enough
# a part of a large dataset: datasets = [{ name = "nyu-mll/glue@bcdcba79d07b", configs = ["sst2"] }]

[tool.research.files.tinyshakespeare]       # one file at an address
url = "https://host/path/input.txt"
size = 1115394
sha256 = "86c4e6aa..."
licence = "public domain"

[tool.research.generated]
mnist1d = "paper_mnist1d.data:MNIST1D"      # see generated_needs.py
"""

import re
import shutil
from collections.abc import Mapping

from research_data import (
    Asset,
    DamagedAssetError,
    asset_folder,
    link_assets,
    make_dataset,
    matching_assets,
    pull_dataset,
    pull_model,
    split_name,
)
from research_data.assets.manifest import Kind
from research_data.assets.needs import HubNeed
from research_data.generated.dataset import find_generated
from research_data.hub.web_file import is_here, pull_file
from research_data.shown import say

from research_train.errors import MemberError
from research_train.experiment.config import TrainConfig
from research_train.experiment.generated_needs import generated_dataset
from research_train.experiment.members import Member


def prepare_assets(
    member: Member,
    rebuild: bool = False,
    quiet: bool = True,
    known: Mapping[str, str] | None = None,
    config: TrainConfig | None = None,
) -> dict[str, str]:
    """Have every dataset and model that a member needs; returns name -> revision.

    rebuild: make a damaged generated dataset anew instead of raising DamagedAssetError. known:
    revisions of generated datasets that need not be asked of their code. config: of the run, for
    datasets that are made of its keys; without it these are left out. Raises ConfigError for a
    value that such a dataset refuses, MemberError when the pyproject is wrong, HubError when what
    is missing can't be fetched, StorageError.
    """
    revisions: dict[str, str] = {}
    for need in member.pyproject.hub_needs:
        name, asset = _pulled(member, need, quiet)
        _refuse_second(member, name, revisions)
        revisions[name] = asset.manifest.revision
    for file in member.pyproject.file_needs:
        _refuse_second(member, file.name, revisions)
        revisions[file.name] = pull_file(file, quiet=quiet).manifest.revision
    for name in member.pyproject.generated:
        if known and name in known and find_generated(name, known[name]):
            revisions[name] = known[name]
            continue
        dataset = generated_dataset(member, name, config)
        if dataset is None:
            continue
        try:
            make_dataset(dataset)
        except DamagedAssetError as error:
            if not rebuild:
                raise DamagedAssetError(
                    error.folder,
                    f"{error.what}. Generate it again with `train --rebuild-data`, or put the file "
                    "back.",
                ) from error
            shutil.rmtree(error.folder)
            make_dataset(dataset)
        revisions[name] = dataset.revision
    return revisions


def link_needs(member: Member, revisions: Mapping[str, str]) -> None:
    """Link these assets into the member's folder `data`. Raises AssetError, StorageError."""
    link_assets(member.folder, {name: asset_folder(name, rev) for name, rev in revisions.items()})


def hub_needs(member: Member) -> list[tuple[Kind, str, bool]]:
    """The kind and name of each asset that a member pulls, and whether it is here.

    Fetches nothing. Raises MemberError if the pyproject is wrong.
    """
    found: list[tuple[Kind, str, bool]] = [
        (need.kind, need.name, bool(matching_assets(need.kind, *_pinned(member, need))))
        for need in member.pyproject.hub_needs
    ]
    return found + [("dataset", file.name, is_here(file)) for file in member.pyproject.file_needs]


def _refuse_second(member: Member, name: str, revisions: Mapping[str, str]) -> None:
    if name in revisions:
        raise MemberError(
            f"{member.folder / 'pyproject.toml'}: two datasets, models or files are named {name!r}"
        )


def _pulled(member: Member, need: HubNeed, quiet: bool) -> tuple[str, Asset]:
    """The asset that a need names, at exactly the revision it pins."""
    name, revision = _pinned(member, need)
    if not matching_assets(need.kind, name, revision) and not quiet:
        say(f"{member.distribution} needs the {need.kind} {need.name}")
    if need.kind == "dataset":
        asset = pull_dataset(need.name, need.configs, need.splits, quiet=quiet)
    else:
        asset = pull_model(need.name, quiet=quiet)
    if not asset.manifest.revision.startswith(revision):
        raise MemberError(
            f"{member.folder / 'pyproject.toml'} pins {need.name!r}, but only {asset.folder.name} "
            "is available"
        )
    return name, asset


def _pinned(member: Member, need: HubNeed) -> tuple[str, str]:
    """Name and commit of a need."""
    name, revision = split_name(need.name)
    pyproject = member.folder / "pyproject.toml"
    if revision is None or not re.fullmatch("[0-9a-f]{7,40}", revision):
        here = [asset.folder.name for asset in matching_assets(need.kind, name, None)]
        hint = f" Already here: {', '.join(here)}." if here else ""
        raise MemberError(
            f"{pyproject}: {need.name!r} must name a commit, as {name}@<sha>, since a branch may "
            f"change.{hint} `research-cli {need.kind} pull {name}` fetches the newest revision and "
            "shows its commit."
        )
    return name, revision
