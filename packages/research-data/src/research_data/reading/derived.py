"""Memory-mapped Arrow files made from an asset, and made again when they are gone.

    datasets/.derived/rajpurkar--squad@7b6d24c440a3/plain_text-<key>/    index.json, *.arrow
                                                    files-<key>/         links to the asset's files

Such a folder appears only when it is complete; reading it takes no lock and writes nothing.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.assets.lock import locked_folder
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


def open_or_make(
    parent: Path, label: str, identity: object, make: Callable[[Path], Shards]
) -> "DatasetDict":
    """Open the derived dataset that identity describes, in a folder of parent; make it if missing.

    label: a readable part of the folder's name. identity: all that determines its content, as JSON;
    its key is part of the folder's name. make: writes Arrow files into the folder it is given and
    returns split -> their names. Raises StorageError.
    """
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", label).strip("-.")[:40]
    folder = parent / f"{words}-{key_of(identity)}"
    if (shards := _shards(folder)) is None:
        with locked_folder(folder):  # so that two processes don't both make it, which takes long
            if folder.exists() and _shards(folder) is None:
                shutil.rmtree(folder)
            with suppress(FileExistsError), new_folder(folder) as partial:
                index = {"of": identity, "splits": dict(make(partial))}
                write_json(partial / INDEX, json.loads(json.dumps(index, default=str)))
        shards = _shards(folder)
    if shards is None:
        raise StorageError(folder, OSError(0, "another process changed it just now"))
    return _open(folder, shards)


def _shards(folder: Path) -> Shards | None:
    try:
        index = json.loads((folder / INDEX).read_bytes())
        shards: Shards = index["splits"]
        whole = all((folder / name).is_file() for names in shards.values() for name in names)
        return shards if whole else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _open(folder: Path, shards: Shards) -> "DatasetDict":
    from datasets import Dataset, DatasetDict, concatenate_datasets
    from datasets.splits import NamedSplit

    splits: dict[str, Dataset] = {}
    for split, names in shards.items():
        parts = [Dataset.from_file(str(folder / name), split=NamedSplit(split)) for name in names]
        splits[split] = parts[0] if len(parts) == 1 else concatenate_datasets(parts)
    return DatasetDict(splits)
