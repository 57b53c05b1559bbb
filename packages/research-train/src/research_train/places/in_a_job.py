"""On the cluster's node: train, and after a pre-emption or at the time limit go on with the run.

The time limit's warning (USR1) leaves a checkpoint, after which the job asks to be queued again.
Where SLURM itself ends the job to start it later (a pre-emption, `scontrol requeue`, a node that
died), it has sent TERM or nothing, and queues it. The next start finds the job's run by its tag.
"""

import argparse
import os
import sys
from signal import SIGUSR1

from research_data.shown import say

from research_train.experiment.members import find_member, installed_members
from research_train.history.recorded_run import RecordedRun
from research_train.history.table import runs
from research_train.places.slurm import JOB, requeue
from research_train.places.submission import words_of
from research_train.processes.children import Children

STOPPED = 128 + SIGUSR1  # exit code of a training that left a checkpoint


def is_job() -> bool:
    """Whether this process is to do a job's work, rather than submit one."""
    return JOB in os.environ and "SLURM_JOB_ID" in os.environ


def job_tag(job: str) -> str:
    """The tag of the run that a job has started."""
    return f"slurm-{job}"


def train_in_job(options: argparse.Namespace) -> int:
    """Train in this job, in the run that it has started before if there is one."""
    job = os.environ["SLURM_JOB_ID"]
    found = None
    if options.resume is None:
        found = _run_of(job, options.paper)
        if found is None:
            options.tag = [*options.tag, job_tag(job)]
        elif found.status == "completed":
            say(f"job {job} was started again, but its run is completed: {found.folder}")
            return 0
        else:
            _resume(options, found.id)
    words = ["--paper", options.paper, *words_of(options)]
    environment = {name: value for name, value in os.environ.items() if name != JOB}
    with Children() as children:
        child = children.start([sys.executable, sys.argv[0], *words], environment)
        code = child.wait()
    # Stopped before its handler was there: as good as stopped by it.
    if children.signal == SIGUSR1 and code in (STOPPED, -SIGUSR1):
        say(f"job {job} goes back to the queue, as its time is nearly over")
        requeue(job)
    return code if code >= 0 else 128 - code


def _run_of(job: str, paper: str) -> RecordedRun | None:
    """The run that an earlier start of this job has made."""
    if int(os.environ.get("SLURM_RESTART_COUNT") or 0) == 0:
        return None
    name = find_member(paper, installed_members()).name
    return next(iter(runs(name, tag=job_tag(job), limit=1)), None)


def _resume(options: argparse.Namespace, run: str) -> None:
    """Have options resume a run, which keeps its own config and words."""
    options.resume = run
    options.words = [word for word in options.words if "=" not in word]
    options.config = options.name = options.group = options.note = None
    options.tag = []
