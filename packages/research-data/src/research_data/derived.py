"""Arrow files made from an asset: read by mapping them into memory, made again when they are gone.

    datasets/.derived/rajpurkar--squad@7b6d24c440a3/plain_text/    index.json, *.arrow
                                                    files/         links to the asset's files

A folder here appears whole or not at all, and reading it takes no lock and writes nothing.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.durable import new_folder, write_json
from research_data.errors import StorageError

if TYPE_CHECKING:
    from datasets import DatasetDict

INDEX = "index.json"

Shards = Mapping[str, list[str]]


def key_of(identity: object) -> str:
    """A short key of anything that JSON can hold; 16 hex digits."""
    content = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def open_or_make(folder: Path, identity: object, make: Callable[[Path], Shards]) -> "DatasetDict":
    """The dataset in folder, made there first when it is missing or was made from something else.

    identity: what it is made from and how, as JSON. make: writes Arrow files into the folder it is
    given and returns split -> their names. Raises StorageError.
    """
    key = key_of(identity)
    if (shards := _shards(folder, key)) is None:
        if folder.exists():
            shutil.rmtree(folder)
        try:
            with new_folder(folder) as partial:
                write_json(
                    partial / INDEX, {"key": key, "of": identity, "splits": dict(make(partial))}
                )
        except FileExistsError:  # another process made the same
            pass
        shards = _shards(folder, key)
    if shards is None:
        raise StorageError(folder, OSError(0, "another process changed it just now"))
    return _open(folder, shards)


def _shards(folder: Path, key: str) -> Shards | None:
    try:
        index = json.loads((folder / INDEX).read_bytes())
        shards: Shards = index["splits"]
        whole = all((folder / name).is_file() for names in shards.values() for name in names)
        return shards if index["key"] == key and whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _open(folder: Path, shards: Shards) -> "DatasetDict":
    from datasets import Dataset, DatasetDict, concatenate_datasets
    from datasets.splits import NamedSplit

    splits: dict[str, Dataset] = {}
    for split, names in shards.items():
        parts = [Dataset.from_file(str(folder / name), split=NamedSplit(split)) for name in names]
        splits[split] = parts[0] if len(parts) == 1 else concatenate_datasets(parts)
    return DatasetDict(splits)
