"""What a member's pyproject says it needs: made or found, verified, and linked into its folder.

[tool.research.generated]
mnist1d = "paper_mnist1d.data:MNIST1D"      # a GeneratedDataset, by name
"""

import os
import shutil
import tomllib
from collections.abc import Mapping
from importlib import import_module

from research_data import (
    DamagedAssetError,
    GeneratedDataset,
    StorageError,
    dataset_folder,
    get_assets_dir,
    make_dataset,
)
from research_data.durable import replace_link

from research_train.errors import MemberError
from research_train.members import Member


def prepare_assets(member: Member, rebuild: bool = False) -> dict[str, str]:
    """Have every dataset that a member needs; returns name -> revision.

    rebuild: make a damaged one anew instead of raising DamagedAssetError. Raises MemberError when
    the pyproject is wrong, StorageError.
    """
    revisions: dict[str, str] = {}
    for name, dataset in _generated(member).items():
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


def link_assets(member: Member, revisions: Mapping[str, str]) -> None:
    """Link the datasets into the member's folder: one as `data`, several in a folder `data`.

    Relative links, absolute where the assets lie outside the workspace. Raises MemberError when
    something that is no link is in the way, StorageError.
    """
    data = member.folder / "data"
    folders = {name: dataset_folder(name, revision) for name, revision in revisions.items()}
    if len(folders) == 1:
        links = {data: next(iter(folders.values()))}
        blocked = data.exists() and not data.is_symlink()
    else:
        links = {data / name: folder for name, folder in folders.items()}
        blocked = any(link.exists() and not link.is_symlink() for link in links)
        if links and data.is_symlink():
            data.unlink()
    if blocked:
        raise MemberError(
            f"{data} is a real folder, where a link to the data belongs. Move it away: its "
            "contents are yours, and nothing here removes them."
        )
    inside = get_assets_dir().is_relative_to(member.workspace)
    for link, target in links.items():
        if link.is_symlink() and link.resolve() == target.resolve():
            continue
        try:
            link.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(link, error) from error
        replace_link(link, os.path.relpath(target, link.parent) if inside else target)


def _generated(member: Member) -> dict[str, GeneratedDataset]:
    pyproject = member.folder / "pyproject.toml"
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise MemberError(f"{pyproject}: cannot be read ({error})") from error
    datasets: dict[str, GeneratedDataset] = {}
    for name, where in tool.get("research", {}).get("generated", {}).items():
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
