"""The recorded runs as a table: listed, chosen, sorted, found.

    from research_train import runs
    for run in runs("mnist1d", where=["learning_rate>1e-3"], sort="test/accuracy", limit=10):
        print(run.id, run.metrics)

All of it is read from the run folders, each time anew; nothing else keeps state.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

from research_data import get_outputs_dir
from research_data.errors import UsageError

from research_train.errors import ConfigError, RunError
from research_train.experiment.members import did_you_mean, find_member, installed_members
from research_train.history.conditions import parse_condition, resolve_key
from research_train.record.files import RECORD
from research_train.record.flat_config import read_flat_config
from research_train.record.folders import run_folders, run_label
from research_train.record.lock import LOCK, run_status
from research_train.record.record import (
    RecordedMetrics,
    RunRecord,
    Status,
    compute_seal,
    finite_metrics,
    read_record,
)

Shown = Literal[Status, "unreadable"]

BEST_IS_SMALL = re.compile(r"loss|error|perplexity|nll")  # metrics, by their names

# A run is sealed in the moment in which it completes: one that isn't was edited, or made by hand.
NO_SEAL = "completed, but its record has no seal"


@dataclass(frozen=True)
class RunSummary:
    """A run as it stands on the disk.

    status: the real one: a run whose process died without a word is interrupted.
    record: None for an unreadable one, whose `problem` says why. remarks: what is odd about the
    folder, that it is a copy say.
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
        """Why a completed run is no evidence, where its record alone says so."""
        if self.record and self.status == "completed" and self.record.seal is None:
            return f"{NO_SEAL}: no evidence"
        return None

    @property
    def metrics(self) -> RecordedMetrics:
        """The final metrics; None says that there was no number."""
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
        """How long its attempts took together, those apart that died without saying when."""
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
        return sum(spans) if spans else None

    @cached_property
    def config(self) -> dict[str, object]:
        """The resolved config under dotted keys; empty where config.yaml can't be read."""
        try:
            return read_flat_config(self.folder)
        except ConfigError:
            return {}

    @property
    def values(self) -> dict[str, object]:
        """What `where` and `sort` look at: config keys, and final metrics before them."""
        return {**self.config, **self.metrics}


def runs(
    paper: str | None = None,
    experiment: str | None = None,
    status: str | None = None,
    tag: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
) -> list[RunSummary]:
    """The recorded runs, the newest first.

    experiment: its name, with or without the paper's in front. where: conditions that all hold,
    as "lr>1e-3", "optimizer.lr<=0.1", "model=cnn", "test/accuracy>0.9"; a key is a config key or
    a final metric, its last part is enough where that is clear. sort: by such a key, the best
    first: losses, errors and config keys smallest first, other metrics largest first; runs without
    it, or where it is no number, come last. reverse turns the order of the others over. Records
    that can't be read are listed unless something is asked that only a record answers.

    Raises UsageError: no such paper, status or key, or a condition that can't be understood.
    """
    if status is not None and status not in (known := [*get_args(Status), "unreadable"]):
        raise UsageError(f"no status {status!r}: it is one of {', '.join(known)}")
    conditions = [parse_condition(text) for text in where]
    found = [summarise(folder) for folder in _folders()]
    if paper is not None:
        name = _paper_name(paper, {n for run in found for n in (run.paper, run.folder.parent.name)})
        found = [run for run in found if name in (run.paper, run.folder.parent.name)]
    if experiment is not None:
        found = [run for run in found if run.record and _is_of(run.record, experiment)]
    keys = {key for run in found for key in run.values} if where or sort else set()
    if status is not None:
        found = [run for run in found if run.status == status]
    if tag is not None:
        found = [run for run in found if run.record and tag in run.record.tags]
    if keys:
        for condition in conditions:
            key = resolve_key(condition.key, keys)
            found = [run for run in found if condition.holds(run.values.get(key))]
    elif where:
        found = []
    found.sort(key=lambda run: run.started, reverse=True)
    if sort is not None and keys:
        found = _sorted(found, resolve_key(sort, keys), reverse)
    elif reverse:
        found.reverse()
    return found[:limit]


def summarise(folder: Path) -> RunSummary:
    """What a run folder holds; never raises for a record that can't be read."""
    try:
        record = read_record(folder)
    except RunError as error:
        reason = str(error).removeprefix(f"{folder / RECORD}: ")
        return RunSummary(folder, None, "unreadable", reason)
    try:
        status = run_status(folder, record)
    except OSError:  # a lock that isn't ours to look at
        status = record.status
    remarks = []
    if record.id != folder.name:
        remarks.append(f"copied by hand: its record is of {record.id}")
    if folder.parent.parent == get_outputs_dir() and record.paper != folder.parent.name:
        remarks.append(f"lies among the runs of {folder.parent.name}")
    if not (folder / LOCK).is_file():
        remarks.append("copied by hand: no lock file")
    return RunSummary(folder, record, status, remarks=tuple(remarks))


def find_any_run(text: str) -> RunSummary:
    """A run of any paper: its id, how that begins, its name, `paper/id`, or its folder.

    Raises RunError when there is none, or several; a whole id comes before a beginning.
    """
    if (Path(text).expanduser() / RECORD).is_file():
        return summarise(Path(text).expanduser().resolve())
    paper, _, words = text.rstrip("/").rpartition("/")
    folders = [folder for folder in _folders() if not paper or folder.parent.name == paper]
    named = f"-{run_label(words)}-seed"
    tests: list[Callable[[Path], bool]] = [
        lambda folder: folder.name == words,
        lambda folder: folder.name.startswith(words) or named in folder.name,
        lambda folder: words in _names_in_record(folder),
    ]
    for test in tests if words else []:
        matching = [folder for folder in folders if test(folder)]
        if len(matching) == 1:
            return summarise(matching[0])
        if matching:
            shown = ", ".join(f"{run.parent.name}/{run.name}" for run in matching[:5])
            raise RunError(
                f"{text!r} could be any of {len(matching)} runs: {shown}"
                + (", ..." if len(matching) > 5 else "")
            )
    known = [folder.name for folder in folders]
    newest = f" The newest is {max(known)}." if known else " There is none yet."
    raise RunError(f"no run {text!r} in {get_outputs_dir()}.{did_you_mean(words, known) or newest}")


def newest_run() -> RunSummary:
    """The newest run at work, else the newest of all. Raises RunError when there is none."""
    every = [run for run in runs() if run.record]
    if not every:
        raise RunError(f"there is no run yet in {get_outputs_dir()}")
    return next((run for run in every if run.status == "running"), every[0])


def record_of(run: RunSummary) -> RunRecord:
    """The record of a run. Raises RunError for one that can't be read."""
    if run.record is None:
        raise RunError(f"{run.folder / RECORD}: {run.problem}")
    return run.record


def seal_state(run: RunSummary) -> Literal["none", "fits", "broken"]:
    """Whether the evidence is as it was when the run ended: record, config, metrics, weights.

    A run that completed was sealed: without its seal the record was changed, so it is broken.
    """
    if run.record is None or run.record.seal is None:
        return "broken" if run.record and run.record.status == "completed" else "none"
    try:
        return "fits" if compute_seal(run.folder, run.record) == run.record.seal else "broken"
    except RunError:
        return "broken"


def _sorted(found: list[RunSummary], key: str, reverse: bool) -> list[RunSummary]:
    having = [run for run in found if _has_place(run.values.get(key))]
    missing = [run for run in found if not _has_place(run.values.get(key))]
    metric = any(key in run.metrics for run in having)
    largest_first = metric and not BEST_IS_SMALL.search(key)

    def rank(run: RunSummary) -> tuple[bool, float, str]:
        value = run.values[key]
        if isinstance(value, int | float):
            return False, value, ""
        return True, 0.0, str(value)

    return sorted(having, key=rank, reverse=largest_first is not reverse) + missing


def _has_place(value: object) -> bool:
    """Whether it can be put in order: not a number is before and after nothing."""
    return value is not None and value == value


def _folders() -> list[Path]:
    """Every run folder of every paper, oldest first in each."""
    outputs = get_outputs_dir()
    papers = sorted(path for path in outputs.glob("[!.]*") if path.is_dir())
    return [folder for paper in papers for folder in run_folders(paper.name)]


def _paper_name(text: str, recorded: set[str]) -> str:
    """The name of a paper that has runs, whether or not it is installed, or is installed."""
    return text if text in recorded else find_member(text, installed_members()).name


def _is_of(record: RunRecord, experiment: str) -> bool:
    return record.experiment in (experiment, f"{record.paper}.{experiment}")


def _names_in_record(folder: Path) -> tuple[str | None, ...]:
    record = summarise(folder).record
    return (record.id, record.name) if record else ()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
