"""Find and summarise a hundred thousand runs: each folder is looked at once, by its path as text.

A Path for each folder, and another for each file in it, takes longer than asking the disk for them.
`read_record` parses a file, looks how deep it is and then checks it, so that it can say what is
wrong. Here a sound record is parsed and checked in one go; any other goes through it.
"""

import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from research_data import get_outputs_dir
from research_data.plain_files import DEEPEST

from research_train.history.recorded_run import RecordedRun, as_recorded
from research_train.record.folders import RECORD
from research_train.record.lock import LOCK
from research_train.record.record import SCHEMA, RunRecord
from research_train.record.summary import summarise, summary_of

_MOMENT = re.compile(r"\d{8}-\d{6}")  # what the name of a run's folder begins with, in UTC
# How long after the moment in its name a run may say that it started: the two are taken one after
# the other, and setting the clock may lie between them.
APART = timedelta(minutes=10)


def all_run_paths() -> list[str]:
    """The paths of `all_run_folders`, in the same order."""
    outputs = str(get_outputs_dir())
    return [
        path
        for paper in _visible_names(outputs)
        for name in _visible_names(f"{outputs}/{paper}")
        if os.access(f"{(path := f'{outputs}/{paper}/{name}')}/{RECORD}", os.F_OK)
    ]


def summarise_all(paths: Iterable[str]) -> list[RecordedRun]:
    """What `summarise` says of the run folders with these paths."""
    outputs = get_outputs_dir()
    return [_summarised(path, outputs) for path in paths]


def summarise_newest(paths: Sequence[str], number: int) -> list[RecordedRun]:
    """The newest of these run folders, at least this many where there are so many; in no order.

    Only they are read: the name of a run's folder begins with the moment of its start. A folder
    that somebody gave another name is read as well. A later moment than its name's counts only
    up to APART.
    """
    dated: list[str] = []
    renamed: list[str] = []
    for path in paths:
        (dated if _MOMENT.match(_name(path)) else renamed).append(path)
    dated.sort(key=_name, reverse=True)
    found = summarise_all(renamed)
    at = 0
    while at < len(dated):
        if len(found) >= number:
            oldest = sorted((run.started for run in found), reverse=True)[number - 1]
            if _name(dated[at])[:15] < _shortly_before(oldest):
                break
        found += summarise_all(dated[at : at + number])
        at += number
    return found


def _visible_names(folder: str) -> list[str]:
    """The sorted names in a folder, without hidden ones."""
    try:
        return sorted(name for name in os.listdir(folder) if name[0] != ".")
    except OSError:  # no run yet, or a file where the folder would be
        return []


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _shortly_before(moment: str) -> str:
    """APART before an ISO time, as the names of folders begin."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC) - APART:%Y%m%d-%H%M%S}"


def _summarised(path: str, outputs: Path) -> RecordedRun:
    folder, record = Path(path), _sound_record(path)
    if record is None:
        return as_recorded(summarise(folder))
    paper, name = path.rsplit("/", 2)[1:]
    ended = record.status != "running"  # so that its lock doesn't count
    if ended and (record.paper, record.id) == (paper, name) and os.path.isfile(f"{path}/{LOCK}"):
        return RecordedRun(folder, record, record.status)  # nothing is unusual about it
    return as_recorded(summary_of(folder, record, outputs))


def _sound_record(path: str) -> RunRecord | None:
    """The record of a run; None for a file that `read_record` has to look at."""
    try:
        with open(f"{path}/{RECORD}", "rb") as file:
            content = file.read()
        if content.count(b"{") + content.count(b"[") > DEEPEST:  # it may be too deep
            return None
        record = RunRecord.model_validate_json(content)
    except (OSError, ValidationError):
        return None
    return record if record.schema_version <= SCHEMA else None
