"""What a member's pyproject says it needs: made or found, verified, and linked into its folder.

    [tool.research.generated]
    mnist1d = "paper_mnist1d.data:MNIST1D"      # a GeneratedDataset, by name

One dataset is linked as `data`, several as links in a folder `data`.
"""

import os
import shutil
import tomllib
from importlib import import_module
from pathlib import Path

from research_data import (
    DamagedAssetError,
    GeneratedDataset,
    StorageError,
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
    folders: dict[str, Path] = {}
    revisions: dict[str, str] = {}
    for name, dataset in _generated(member).items():
        try:
            folders[name] = make_dataset(dataset)
        except DamagedAssetError as error:
            if not rebuild:
                raise DamagedAssetError(
                    error.folder,
                    f"{error.what}. Add --rebuild-data to make it anew, or put the file back.",
                ) from error
            shutil.rmtree(error.folder)
            folders[name] = make_dataset(dataset)
        revisions[name] = dataset.revision
    if folders:
        _link(member, folders)
    return revisions


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


def _link(member: Member, folders: dict[str, Path]) -> None:
    """Link the datasets as `data` in the member's folder; never over a real file."""
    data = member.folder / "data"
    if len(folders) == 1:
        links = {data: next(iter(folders.values()))}
        ours = data.is_symlink() or not data.exists()
    else:
        links = {data / name: folder for name, folder in folders.items()}
        ours = all(link.is_symlink() or not link.exists() for link in links)
        if data.is_symlink():
            data.unlink()
    if not ours:
        raise MemberError(
            f"{data} is a real folder, where a link to the data belongs. Move it away: its "
            f"contents are yours, and nothing here removes them."
        )
    for link, target in links.items():
        if link.is_symlink() and link.resolve() == target.resolve():
            continue
        inside = get_assets_dir().is_relative_to(member.workspace)
        try:
            link.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise StorageError(link, error) from error
        replace_link(link, os.path.relpath(target, link.parent) if inside else target)
