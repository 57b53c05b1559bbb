"""Summarise thousands of runs: a sound record is parsed and checked in one go.

`read_record` parses a file, looks how deep it is and then checks it, so that it can say what is
wrong. Ten thousand sound files take half of that time here; any other goes through it.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError
from research_data import get_outputs_dir
from research_data.plain_files import DEEPEST

from research_train.record.folders import RECORD
from research_train.record.record import SCHEMA, RunRecord
from research_train.record.summary import RunSummary, summarise, summary_of

_MOMENT = re.compile(r"\d{8}-\d{6}")  # what the name of a run's folder begins with, in UTC
# How long after the moment in its name a run may say that it started: the two are taken one after
# the other, and setting the clock may lie between them.
APART = timedelta(minutes=10)


def summarise_all(folders: Sequence[Path]) -> list[RunSummary]:
    """What `summarise` says of each of these run folders."""
    outputs = get_outputs_dir()
    return [
        summarise(folder) if record is None else summary_of(folder, record, outputs)
        for folder, record in ((folder, _sound_record(folder)) for folder in folders)
    ]


def summarise_newest(folders: Sequence[Path], number: int) -> list[RunSummary]:
    """The newest of these run folders, at least this many where there are so many; in no order.

    Only they are read: the name of a run's folder begins with the moment of its start. A folder
    that somebody gave another name is read as well. A later moment than its name's counts only
    up to APART.
    """
    dated = sorted(
        (folder for folder in folders if _MOMENT.match(folder.name)),
        key=lambda folder: folder.name,
        reverse=True,
    )
    found = summarise_all([folder for folder in folders if not _MOMENT.match(folder.name)])
    at = 0
    while at < len(dated):
        if len(found) >= number:
            oldest = sorted((run.started for run in found), reverse=True)[number - 1]
            if dated[at].name[:15] < _shortly_before(oldest):
                break
        found += summarise_all(dated[at : at + number])
        at += number
    return found


def _shortly_before(moment: str) -> str:
    """APART before an ISO time, as the names of folders begin."""
    return f"{datetime.fromisoformat(moment).astimezone(UTC) - APART:%Y%m%d-%H%M%S}"


def _sound_record(folder: Path) -> RunRecord | None:
    """The record of a run; None for a file that `read_record` has to look at."""
    try:
        content = (folder / RECORD).read_bytes()
        if content.count(b"{") + content.count(b"[") > DEEPEST:  # it may be too deep
            return None
        record = RunRecord.model_validate_json(content)
    except (OSError, ValidationError):
        return None
    return record if record.schema_version <= SCHEMA else None
