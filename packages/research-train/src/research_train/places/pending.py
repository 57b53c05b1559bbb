"""The jobs whose run isn't under way: those that wait, at first or again, or ended without one."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from research_train.errors import CommandError, RunError
from research_train.history.table import runs
from research_train.places.in_a_job import job_tag
from research_train.places.job_folders import (
    Element,
    all_ended,
    element_of,
    elements,
    ended_without_run,
    look,
    note_end,
    standing,
)
from research_train.places.slurm import Seen
from research_train.record.metrics_file import Point, follow_run
from research_train.record.summary import RunSummary, summarise

State = Literal["queued", "requeued", "starting", "unknown", "ended"]
STATES = get_args(State)
POLL = 2.0  # seconds between two looks at a job
PREFIX = job_tag("")
CANCELLED = "CANCELLED"  # by a person, who knows of it


@dataclass(frozen=True)
class PendingJob:
    """A job, or an element of one, whose run isn't under way.

    status: requeued if it has begun before, starting where its run is about to be made, unknown
    where SLURM can't be asked, ended if it never made a run. reason: why, in SLURM's words, and the
    last of its own. run: the id of the run that it goes on with. words: of `train`. submitted: UTC
    in ISO 8601.
    """

    job: str
    paper: str
    status: State
    reason: str
    run: str | None
    words: tuple[str, ...]
    submitted: str
    log: Path


def pending_jobs(paper: str | None = None) -> list[PendingJob]:
    """The jobs under the outputs whose run isn't under way, newest first. paper: whose alone.

    SLURM is asked once, and only where something was submitted that isn't known to have ended. What
    ended without a run is told for a day.
    """
    try:
        folders = elements(paper)
        seen = standing(folders) if folders and shutil.which("squeue") else None
    except CommandError:  # its controller gives no answer
        folders, seen = elements(paper, ask=False), None
    every = [
        each
        for found in folders.values()
        for each in found
        if seen is None or each.stands(seen).state != "ended"
    ]
    over = [] if seen is None else all_ended(folders, seen)
    made = _runs_of_jobs(paper) if every or over else {}
    for folder in over:
        without = [e for e in folders[folder] if not e.resumes and job_tag(e.job) not in made]
        said = {each.job: each.stands(seen or {}).said for each in without}
        note_end(folder, {job: end for job, end in said.items() if not end.startswith(CANCELLED)})
    pending = [_pending(each, seen, made.get(job_tag(each.job))) for each in reversed(every)]
    found = [each for each in pending if each]
    for each, said_of_it in reversed(ended_without_run(paper)):
        why = f"{said_of_it}: {each.last_words}"
        found.append(_job(each, "ended", why, None))
    return sorted(found, key=lambda job: job.submitted, reverse=True)


def _runs_of_jobs(paper: str | None) -> dict[str, RunSummary]:
    """Tag of a job -> the run that it has made."""
    return {
        tag: run
        for run in runs(paper)
        for tag in (run.record.tags if run.record else ())
        if tag.startswith(PREFIX)
    }


def _pending(
    element: Element, seen: dict[str, Seen] | None, made: RunSummary | None
) -> PendingJob | None:
    run = made.id if made else element.resumes
    status: State = "unknown"
    reason = "squeue isn't there or gives no answer"
    if seen is None:
        if made and made.status != "interrupted":
            return None
    else:
        stands = element.stands(seen)
        reason = stands.reason
        if stands.state == "waiting":
            status = "requeued" if made else "queued"
        elif made:
            return None  # its run tells
        else:
            status = "starting"
    return _job(element, status, reason, run)


def _job(element: Element, status: State, reason: str, run: str | None) -> PendingJob:
    return PendingJob(
        element.job,
        element.paper,
        status,
        reason,
        run,
        element.words,
        element.submitted,
        element.log,
    )


def run_of_job(tag: str, tell: Callable[[str], None]) -> RunSummary:
    """The run of the job that a tag `slurm-12` names, once it has begun.

    tell: called with how the job stands, whenever that changes. Raises RunError if the job has
    ended without a run, CommandError where SLURM can't be asked.
    """
    job, told = tag.removeprefix(PREFIX), ""
    while True:
        seen = look(job)  # before its run is looked for: it may begin in between
        if found := runs(tag=tag, limit=1):
            return found[0]
        if seen.state == "ended":
            element = element_of(job)
            words = f": {element.last_words}" if element else ""
            raise RunError(f"job {job} has no run, and doesn't wait for one: {seen.said}{words}")
        if seen.said != told:
            tell(f"job {job}: {seen.said}")
            told = seen.said
        time.sleep(POLL)


def follow_job(folder: Path, tell: Callable[[str], None]) -> Iterator[Point]:
    """The lines of a run's metrics as they are written, also after its job was queued again.

    tell: called with how its job stands, while the run waits. Raises RunError if the run's record
    is gone.
    """
    last = float("-inf")
    while True:
        for point in follow_run(folder):
            step = point["step"]
            if step is not None and step > last:
                last = step
                yield point
        if not _goes_on(folder, tell):
            return


def _goes_on(folder: Path, tell: Callable[[str], None]) -> bool:
    """Wait until a run that was interrupted goes on in its job; False if it won't."""
    told = ""
    while (run := summarise(folder)).status == "interrupted" and run.record:
        job = next((tag for tag in run.record.tags if tag.startswith(PREFIX)), None)
        if job is None or not shutil.which("squeue"):
            return False
        try:
            seen = look(job.removeprefix(PREFIX))
        except CommandError:
            return False
        if seen.state == "ended":
            return summarise(folder).status == "running"
        if seen.said != told:
            tell(f"{run.id} waits in job {job.removeprefix(PREFIX)}: {seen.said}")
            told = seen.said
        time.sleep(POLL)
    return run.status == "running" or bool(told)
