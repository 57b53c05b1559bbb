"""What a member's pyproject says it needs: found, pulled or made, verified, linked into its folder.

[tool.research]
datasets = ["squad@7b6d24c440a36b6815f21b70d25016731768db1f"]     # of the hub, by commit
models = ["bert-base-uncased@86b5e0934494"]                       # the first digits will do
# of a large one a part: datasets = [{ name = "nyu-mll/glue@bcdcba79d07b", configs = ["sst2"] }]

[tool.research.generated]
mnist1d = "paper_mnist1d.data:MNIST1D"      # a GeneratedDataset, by name
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from importlib import import_module

from research_data import (
    Asset,
    DamagedAssetError,
    GeneratedDataset,
    asset_folder,
    link_assets,
    make_dataset,
    matching_assets,
    pull_dataset,
    pull_model,
    split_name,
)
from research_data.assets.manifest import Kind
from research_data.errors import UnreadableError
from research_data.plain_files import read_toml, table_of
from research_data.shown import say

from research_train.errors import MemberError
from research_train.experiment.members import Member


def prepare_assets(member: Member, rebuild: bool = False, quiet: bool = True) -> dict[str, str]:
    """Have every dataset and model that a member needs; returns name -> revision.

    rebuild: make a damaged generated dataset anew instead of raising DamagedAssetError. Raises
    MemberError when the pyproject is wrong, HubError when what is missing can't be fetched,
    StorageError.
    """
    research = _research_table(member)
    revisions: dict[str, str] = {}
    for kind, need, parts in _needs_of_hub(member, research):
        name, asset = _pulled(member, kind, need, parts, quiet)
        if name in revisions:
            raise MemberError(f"{member.folder / 'pyproject.toml'}: two needs are named {name!r}")
        revisions[name] = asset.manifest.revision
    for name, dataset in _generated(member, research).items():
        try:
            make_dataset(dataset)
        except DamagedAssetError as error:
            if not rebuild:
                raise DamagedAssetError(
                    error.folder,
                    f"{error.what}. `train --rebuild-data` makes it anew; or put the file back.",
                ) from error
            shutil.rmtree(error.folder)
            make_dataset(dataset)
        revisions[name] = dataset.revision
    return revisions


def link_needs(member: Member, revisions: Mapping[str, str]) -> None:
    """Link the assets into the member's folder as `data`. Raises AssetError, StorageError."""
    link_assets(member.folder, {name: asset_folder(name, rev) for name, rev in revisions.items()})


def hub_needs(member: Member) -> list[tuple[Kind, str, bool]]:
    """What of the hub a member pins, and whether it is here; nothing is fetched.

    Raises MemberError when the pyproject is wrong.
    """
    return [
        (kind, need, bool(matching_assets(kind, *_pinned(member, kind, need))))
        for kind, need, _ in _needs_of_hub(member, _research_table(member))
    ]


def _pulled(
    member: Member, kind: Kind, need: str, parts: Mapping[str, list[str]], quiet: bool
) -> tuple[str, Asset]:
    """The asset that a need names, at exactly the revision it pins. parts: of a dataset."""
    name, revision = _pinned(member, kind, need)
    if not matching_assets(kind, name, revision) and not quiet:
        say(f"{member.distribution} needs the {kind} {need}")
    if kind == "dataset":
        asset = pull_dataset(need, parts.get("configs", ()), parts.get("splits", ()), quiet=quiet)
    else:
        asset = pull_model(need, quiet=quiet)
    if not asset.manifest.revision.startswith(revision):
        raise MemberError(
            f"{member.folder / 'pyproject.toml'}: {need!r} is pinned, but {asset.folder.name} "
            "is what there is to have"
        )
    return name, asset


def _pinned(member: Member, kind: Kind, need: str) -> tuple[str, str]:
    """Name and commit of a need."""
    name, revision = split_name(need)
    pyproject = member.folder / "pyproject.toml"
    if revision is None or not re.fullmatch("[0-9a-f]{7,40}", revision):
        here = [asset.folder.name for asset in matching_assets(kind, name, None)]
        hint = f" Here is {', '.join(here)}." if here else ""
        raise MemberError(
            f"{pyproject}: {need!r} must name a commit, as {name}@<sha>: a branch moves, and the "
            f"paper with it.{hint} `research-cli {kind} pull {name}` fetches the newest and says "
            "its revision."
        )
    return name, revision


def _needs_of_hub(
    member: Member, research: Mapping[str, object]
) -> Iterator[tuple[Kind, str, Mapping[str, list[str]]]]:
    kinds: tuple[tuple[Kind, str], ...] = (("dataset", "datasets"), ("model", "models"))
    for kind, key in kinds:
        needs = research.get(key, [])
        if not isinstance(needs, list) or not all(_is_need(need, kind) for need in needs):
            table = ', or { name = "NAME@REVISION", configs = [...], splits = [...] }'
            raise MemberError(
                f"{member.folder / 'pyproject.toml'}: [tool.research] {key} must be a list of "
                f'"NAME@REVISION"{table if kind == "dataset" else ""}; it is {needs!r}'
            )
        for need in needs:
            parts = dict(need) if isinstance(need, dict) else {"name": need}
            yield kind, parts.pop("name"), parts


def _is_need(need: object, kind: Kind) -> bool:
    if not isinstance(need, dict) or kind != "dataset":
        return isinstance(need, str)
    parts = [value for key, value in need.items() if key != "name"]
    return (
        isinstance(need.get("name"), str)
        and need.keys() <= {"name", "configs", "splits"}
        and all(isinstance(part, list) for part in parts)
        and all(isinstance(word, str) for part in parts for word in part)
    )


def _research_table(member: Member) -> Mapping[str, object]:
    pyproject = member.folder / "pyproject.toml"
    try:
        return table_of(read_toml(pyproject), "tool", "research", path=pyproject)
    except UnreadableError as error:
        raise MemberError(f"{pyproject}: cannot be read ({error.reason})") from error


def _generated(member: Member, research: Mapping[str, object]) -> dict[str, GeneratedDataset]:
    pyproject = member.folder / "pyproject.toml"
    table = research.get("generated", {})
    if not isinstance(table, dict):
        raise MemberError(f"{pyproject}: tool.research.generated must be a table, it is {table!r}")
    datasets: dict[str, GeneratedDataset] = {}
    for name, where in table.items():
        module, _, attribute = str(where).partition(":")
        try:
            dataset = getattr(import_module(module), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise MemberError(f"{pyproject}: {name} = {where!r}: {error}") from error
        if not isinstance(dataset, GeneratedDataset) or dataset.name != name:
            raise MemberError(
                f"{pyproject}: {name} = {where!r} must be a GeneratedDataset named {name!r}"
            )
        datasets[name] = dataset
    return datasets
