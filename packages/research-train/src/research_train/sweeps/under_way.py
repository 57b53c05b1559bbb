"""A trial and a run under way, and what a run has written so far."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from research_data import get_outputs_dir

from research_train.errors import RunError
from research_train.processes.children import PATIENCE
from research_train.record.folders import METRICS, RECORD, run_label
from research_train.record.summary import RunSummary, summarise
from research_train.sweeps.seats import Seat
from research_train.sweeps.space import words_of
from research_train.sweeps.study import State, Trial
from research_train.sweeps.sweep_file import Sweep
from research_train.sweeps.worker import Task

LOOK = 0.1  # seconds between two looks at a run that should end


@dataclass
class UnderWay:
    """A trial under way.

    left: seeds to train. running: how many of its runs are under way. values: seed -> the metric,
    None where it isn't finite. ended: how it ends whatever its other runs give. same: the numbers
    of later trials with its setting, which end as it does.
    """

    trial: Trial
    left: list[int]
    running: int = 0
    values: dict[int, float | None] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)
    ended: State | None = None
    why: str | None = None
    step: int = -1  # the last that was reported to the pruner
    same: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Due:
    """A run that is to be begun."""

    of: UnderWay
    seed: int
    task: Task

    @property
    def label(self) -> str:
        """What to call it in a list."""
        return " ".join([*words_of(self.of.trial.setting), f"seed={self.seed}"])


@dataclass
class Job:
    """A run under way in a seat."""

    seat: Seat
    due: Due
    began: float
    looked: float = 0.0
    read: int = 0  # bytes of its metrics.jsonl
    folder: Path | None = None
    stopping: bool = False


def run_of(sweep: Sweep, trial: Trial, seed: int) -> RunSummary | None:
    """The newest run of a trial with a seed."""
    label = run_label(sweep.run_name(trial.number))
    paper = get_outputs_dir() / sweep.paper
    found = [path.parent for path in paper.glob(f"[!.]*-{label}-seed{seed}/{RECORD}")]
    for folder in sorted(found, reverse=True):
        run = summarise(folder)
        record = run.record
        if record and record.experiment == sweep.experiment and record.seed == seed:
            return run
    return None


def settled_run_of(sweep: Sweep, trial: Trial, seed: int) -> RunSummary | None:
    """As `run_of`, once no process is at work on it: one may still be writing its checkpoint.

    That is so for a moment after a worker or a sweep was killed. Raises RunError if it goes on.
    """
    last = time.monotonic() + PATIENCE
    while True:
        run = run_of(sweep, trial, seed)
        if run is None or run.status != "running":
            return run
        if time.monotonic() > last:
            raise RunError(f"{run.folder}: another process is at work on this run of the sweep")
        time.sleep(LOOK)


def has_diverged(run: RunSummary) -> bool:
    """Whether a run failed because its loss was not finite."""
    error = run.record.error if run.record else None
    return run.status == "failed" and error is not None and error.type == "NotFiniteError"


def new_values(job: Job, metric: str) -> Iterator[tuple[int, float]]:
    """Step and value of the lines with the metric that a run has written since the last look."""
    assert job.folder is not None
    with (job.folder / METRICS).open("rb") as file:
        if file.seek(0, os.SEEK_END) < job.read:  # cut back by a resume
            job.read = 0
        file.seek(job.read)
        new = file.read()
    whole = new[: new.rfind(b"\n") + 1]
    job.read += len(whole)
    for line in whole.splitlines():
        point = json.loads(line)
        value = point.get(metric)
        if point["step"] > job.due.of.step and value is not None:
            yield point["step"], value
