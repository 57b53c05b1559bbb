"""Summarise a recorded run: status, config, final metrics, and whether its seal holds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal

from research_data import get_outputs_dir

from research_train.errors import ConfigError, RunError
from research_train.record.folders import RECORD
from research_train.record.lock import LOCK, run_status
from research_train.record.record import (
    RecordedMetrics,
    RunRecord,
    Status,
    compute_seal,
    finite_metrics,
    read_record,
)
from research_train.record.resolved_config import read_resolved_config

Shown = Literal[Status, "unreadable"]

# A run is sealed when it completes: a completed one without a seal was edited, or made by hand.
NO_SEAL = "completed, but its record has no seal"


@dataclass(frozen=True)
class RunSummary:
    """A run as it stands on the disk.

    status: as it is now: interrupted for a run that its record calls running, but whose process
    has died. record: None if it can't be read; `problem` says why. remarks: what is unusual about
    the folder, for example that it is a copy.
    """

    folder: Path
    record: RunRecord | None
    status: Shown
    problem: str | None = None
    remarks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """What to call it in any command: the folder's name."""
        return self.folder.name

    @property
    def paper(self) -> str:
        """The paper it is a run of."""
        return self.record.paper if self.record else self.folder.parent.name

    @property
    def doubt(self) -> str | None:
        """Why a completed run is no evidence, if its record alone shows it."""
        if self.record and self.status == "completed" and self.record.seal is None:
            return f"{NO_SEAL}: no evidence"
        return None

    @property
    def metrics(self) -> RecordedMetrics:
        """The final metrics; None for one that isn't finite."""
        return finite_metrics(self.record.metrics) if self.record else {}

    @property
    def started(self) -> str:
        """UTC in ISO 8601; of an unreadable one, when its record was last written."""
        if self.record:
            return self.record.started
        written = (self.folder / RECORD).stat().st_mtime
        return datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds")

    @property
    def seconds(self) -> float | None:
        """How long its attempts took together, without those whose end was not recorded.

        An attempt of a machine whose clock is ahead of the one that tells its end took no time.
        """
        if self.record is None:
            return None
        spans = [
            (_moment(attempt.end) - _moment(attempt.time)).total_seconds()
            for attempt in self.record.attempts
            if attempt.end
        ]
        if self.status == "running":
            began = _moment(self.record.attempts[-1].time)
            spans.append((datetime.now(UTC) - began).total_seconds())
        return sum(max(0.0, span) for span in spans) if spans else None

    @cached_property
    def config(self) -> dict[str, object]:
        """The resolved config under dotted keys; empty where it can't be read."""
        try:
            return read_resolved_config(self.folder, self.record)
        except ConfigError:
            return {}

    @cached_property
    def seal_state(self) -> Literal["none", "fits", "broken"]:
        """Whether the evidence is as it was when the run ended: record, config, metrics, weights.

        A run that completed was sealed: without its seal the record was changed, so it is broken.
        """
        if self.record is None or self.record.seal is None:
            return "broken" if self.record and self.record.status == "completed" else "none"
        try:
            return (
                "fits" if compute_seal(self.folder, self.record) == self.record.seal else "broken"
            )
        except RunError:
            return "broken"

    @property
    def values(self) -> dict[str, object]:
        """What `where` and `sort` use: config keys and final metrics; a metric hides a key."""
        return {**self.config, **self.metrics}


def summarise(folder: Path) -> RunSummary:
    """What a run folder holds; never raises for a record that can't be read."""
    try:
        record = read_record(folder)
    except RunError as error:
        reason = str(error).removeprefix(f"{folder / RECORD}: ")
        return RunSummary(folder, None, "unreadable", reason)
    return summary_of(folder, record, get_outputs_dir())


def summary_of(folder: Path, record: RunRecord, outputs: Path) -> RunSummary:
    """What a run folder holds besides its record. outputs: `get_outputs_dir()`."""
    try:
        status = run_status(folder, record)
    except OSError:  # no permission to open its lock
        status = record.status
    remarks = []
    if record.id != folder.name:
        remarks.append(f"copied by hand: its record is of {record.id}")
    if record.paper != folder.parent.name and folder.parent.parent == outputs:
        remarks.append(f"lies among the runs of {folder.parent.name}")
    if not (folder / LOCK).is_file():
        remarks.append("copied by hand: no lock file")
    return RunSummary(folder, record, status, remarks=tuple(remarks))


def record_of(run: RunSummary) -> RunRecord:
    """The record of a run. Raises RunError for one that can't be read."""
    if run.record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    return run.record


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
