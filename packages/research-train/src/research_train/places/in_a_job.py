"""On the cluster's node: train, and after a pre-emption or at the time limit go on with the run.

The time limit's warning (USR1) leaves a checkpoint, after which the job asks to be queued again.
Where SLURM itself ends the job to start it later (a pre-emption, `scontrol requeue`, a node that
died), it has sent TERM or nothing, and queues it. The next start finds a run by the tag of its job.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGUSR1, sigpending

from research_data.shown import say

from research_train.command_line.usage import parse, train_parser
from research_train.errors import RunError
from research_train.experiment.members import find_member, installed_members
from research_train.history.table import runs
from research_train.places.job_folders import Element, elements_of
from research_train.places.slurm import JOB, requeue
from research_train.places.submission import words_of
from research_train.places.taken import note_code, take, take_next
from research_train.processes.signals import stopping_signals
from research_train.processes.watched_fork import go_on_in_fork
from research_train.record.finding import find_run
from research_train.record.record import checkpoint_folders
from research_train.record.summary import RunSummary, summarise

STOPPED = 128 + SIGUSR1  # exit code of a training that left a checkpoint
TAKING = 600.0  # seconds since its start in which a job begins further runs


def is_job() -> bool:
    """Whether this process is to do a job's work, rather than submit one."""
    return JOB in os.environ and "SLURM_JOB_ID" in os.environ


def this_job() -> str:
    """The job that this process works in: `12`, or `12_3` for an element of an array."""
    array, element = (os.environ.get(f"SLURM_ARRAY_{each}_ID") for each in ("JOB", "TASK"))
    return f"{array}_{element}" if array and element else os.environ["SLURM_JOB_ID"]


def job_tag(job: str) -> str:
    """The tag of the run that a job has started."""
    return f"slurm-{job}"


def train_in_job(options: argparse.Namespace, train: Callable[[Sequence[str]], int]) -> int:
    """Train in this job, in the run that it has started before if there is one.

    An element of an array goes on with runs of others for some minutes. train: does what these
    words of `train` say, in a fork of this process. Raises RunError where the job's time is too
    short to get anywhere, CommandError, StorageError, UnreadableError.
    """
    job, began = this_job(), time.monotonic()
    again = int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
    whole = os.environ.get("SLURM_ARRAY_JOB_ID")
    array = elements_of(Path(os.environ[JOB]), whole) if whole else []
    if not array:  # a job of its own, or one whose folder is gone
        return _train(options, job, again, train).code
    due = _due(array, job, again)
    failed, fresh = 0, True
    while due:
        element = due.pop(0)
        options = parse(train_parser(), ["--paper", options.paper, *element.words, "--quiet"])
        log = None if element.job == job else element.log
        ended = _train(options, element.job, again, train, log, fresh)
        if ended.is_last:
            return ended.code
        note_code(element, job, ended.code)
        failed, fresh = failed or ended.code, False
        # What was requeued has had its time: its last minutes don't tell how long a run takes.
        goes_on = not (due or failed or again or sigpending() & set(stopping_signals()))
        if goes_on and time.monotonic() - began < TAKING and (taken := take_next(array, job)):
            say(f"job {job} goes on with the run of job {taken.job}, which prints to {taken.log}")
            due.append(taken)
    return failed


def _due(array: Sequence[Element], job: str, again: bool) -> list[Element]:
    """What this job has to make: the run of its own element, and what it took before it stopped."""
    due = []
    for each in array if again else [each for each in array if each.job == job]:
        making = each.making()
        if making is None and each.job == job:
            # Without hard links nothing can be taken, and each job makes its own.
            with suppress(OSError):
                making = None if take(each, job) else each.making()
            due += [each] if making is None else []
        elif making is not None and making.job == job and making.code != 0:
            if making.code is not None:  # it failed, and somebody had the job requeued
                note_code(each, job, None)
            due.append(each)
    return due


@dataclass(frozen=True)
class _Ended:
    """How a training ended. is_last: this process has nothing more to do."""

    code: int
    is_last: bool


def _train(
    options: argparse.Namespace,
    of: str,
    again: bool,
    train: Callable[[Sequence[str]], int],
    log: Path | None = None,
    fresh: bool = True,
) -> _Ended:
    """Train the run of a job or an element in a fork, for which this returns as well.

    of: its number. log: what it prints to, if not to this job's own. fresh: nothing was trained
    since this job started.
    """
    job = this_job()
    paper = find_member(options.paper, installed_members()).name
    run = _run_of(paper, of, options.resume) if again or options.resume else None
    before = _last_checkpoint(run)
    if again and run and run.status == "completed":
        say(f"job {job} was started again, but its run is completed: {run.folder}")
        return _Ended(0, is_last=False)
    words = _words(options, of, run)
    ended = go_on_in_fork()
    if ended is None:
        return _Ended(_in_fork(words, log, train), is_last=True)
    code = ended.code if ended.code >= 0 else 128 - ended.code
    if ended.signal == SIGUSR1 and code == STOPPED:
        if fresh and _last_checkpoint(_run_of(paper, of, options.resume)) == before:
            raise RunError(
                f"job {job} had no time for a step before it was told that its time is nearly "
                "over, so it would be queued for ever. Give it more `time` in slurm.yaml, or less "
                "`notice`."
            )
        say(f"job {job} goes back to the queue, as its time is nearly over")
        requeue(job)
    return _Ended(code, is_last=ended.signal is not None)


def _words(options: argparse.Namespace, job: str, run: RunSummary | None) -> list[str]:
    """The words of `train` for a job's run, in that which it has made before if there is one."""
    if options.resume is None:
        if run:
            _resume(options, run.id)
        else:
            options.tag = [*options.tag, job_tag(job)]
    return ["--paper", options.paper, *words_of(options)]


def _in_fork(words: list[str], log: Path | None, train: Callable[[Sequence[str]], int]) -> int:
    """Train as if these words had been typed. log: what it prints to; None: as this process."""
    del os.environ[JOB]  # what it trains is no job's own work
    if log:
        opened = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(opened, stream.fileno())
        os.close(opened)
    # A release that the paper requires starts as this command.
    sys.orig_argv[len(sys.orig_argv) - len(sys.argv) + 1 :] = words
    sys.argv[1:] = words
    return train(words)


def _run_of(paper: str, job: str, resumed: str | None) -> RunSummary | None:
    """The run that a job resumes, or that an earlier start of it has made."""
    if resumed is not None:
        return summarise(find_run(paper, resumed))
    return next(iter(runs(paper, tag=job_tag(job), limit=1)), None)


def _last_checkpoint(run: RunSummary | None) -> Path | None:
    return next(reversed(checkpoint_folders(run.folder)), None) if run else None


def _resume(options: argparse.Namespace, run: str) -> None:
    """Have options resume a run, which keeps its own config and words."""
    options.resume = run
    options.words = [word for word in options.words if "=" not in word]
    options.config = options.name = options.group = options.note = None
    options.tag = []
