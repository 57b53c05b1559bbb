"""Read the config of a recorded run, from config.yaml or its copy in run.json.

config.yaml is authoritative: a training reads it and the seal covers it. Here it is read if the
record has no copy (research-train 0.1.0 wrote none), or if the two differ because one was changed.
"""

import atexit
import hashlib
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

from research_data.durable import write_bytes

from research_train.code.parsed_files import ParsedFiles
from research_train.experiment.config import TrainConfig
from research_train.experiment.yaml_file import dump_yaml, read_yaml
from research_train.record.folders import CONFIG
from research_train.record.record import RunRecord

_as_json = json.JSONEncoder(sort_keys=True, allow_nan=False).encode  # made once for all runs


def write_config(folder: Path, record: RunRecord, config: TrainConfig) -> None:
    """Write config.yaml of a run folder, and its copy into the record. Raises StorageError."""
    values = config.model_dump(mode="json")
    text = dump_yaml(values).encode()
    write_bytes(folder / CONFIG, text)
    try:
        record.config, record.config_sha256 = values, _digest(text, values)
    except ValueError:  # not every reader of JSON knows Infinity
        record.config = record.config_sha256 = None


def read_resolved_config(folder: Path, record: RunRecord | None) -> dict[str, object]:
    """The config of a run folder under dotted keys, `optimizer.lr`. Raises ConfigError."""
    if record is not None and record.config is not None:
        try:
            text = (folder / CONFIG).read_bytes()
        except OSError:
            text = b""  # read again below, which reports the reason
        if record.config_sha256 == _digest(text, record.config):
            return _flattened(record.config)
    file = folder / CONFIG
    try:
        modified = file.stat().st_mtime_ns
    except OSError:
        modified = 0  # reading it reports the reason
    return dict(_of_file(file, modified))


@lru_cache(maxsize=10_000)
def _of_file(file: Path, modified: int) -> dict[str, object]:
    """A config.yaml, read once until it is modified: a table of old runs asks again and again."""
    try:
        key = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        key = ""  # told by what reads it
    known = _known().recall(key)
    if known is None:
        known = _flattened(read_yaml(file))
        _known().keep(key, known)
    return dict(known)


@cache
def _known() -> ParsedFiles:
    """A cache of config.yaml files that have no copy in run.json: parsing one takes 7 ms."""
    known = ParsedFiles("configs")
    atexit.register(known.save)
    return known


def _digest(text: bytes, values: Mapping[str, object]) -> str:
    """sha256 of both, which shows a change in either. Raises ValueError for an infinite value."""
    return hashlib.sha256(text + _as_json(values).encode()).hexdigest()


def _flattened(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= _flattened(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
