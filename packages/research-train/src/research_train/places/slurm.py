"""SLURM as a place to run a training: start, look, stop.

Plain sbatch, not submitit (1.5): that stores a call as a pickle, of whatever it closes over, which
a worker of the same Python and libraries loads; here a job is a command line, a person can read
its script, and the training already knows the signals. It would bring nothing but the options.
"""

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from research_train.errors import CommandError
from research_train.places.cluster_options import ClusterOptions
from research_train.processes.children import output_of

SCRIPT = "job.sh"
LOG = "log.txt"
JOB = "RESEARCH_JOB"  # set in our own jobs only, not in an allocation that a user works in
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")


@dataclass(frozen=True)
class Task:
    """What a job does.

    name: how squeue shows it. program: the command, which every node sees. environment: its
    variables. at: the folder it works in. folder: its own, for script and log.
    """

    name: str
    program: list[str]
    environment: dict[str, str]
    at: Path
    folder: Path

    @property
    def log(self) -> Path:
        """What the job prints, on whichever node and however often it is started."""
        return self.folder / LOG


@dataclass(frozen=True)
class Seen:
    """How a job stands. said: SLURM's own words, as `PENDING (Resources)`."""

    state: Literal["waiting", "running", "ended"]
    said: str


def refuse_without_slurm() -> None:
    """Raise CommandError where no job can be submitted."""
    if shutil.which("sbatch") is None:
        raise CommandError(
            "there is no SLURM here: sbatch isn't on the PATH. Type this on a machine of the "
            "cluster, or leave out `--on slurm` to train on this one."
        )


def start(task: Task, options: ClusterOptions) -> str:
    """Submit a task; returns the job's id. Raises CommandError with sbatch's own words."""
    script = task.folder / SCRIPT
    # exec: the signal before the time limit goes to the process of the script alone.
    marked = f"export {JOB}={shlex.quote(str(task.folder))}"
    script.write_text(f"#!/bin/sh\n{marked}\nexec {shlex.join(task.program)}\n")
    asked = {
        "--partition": options.partition,
        "--account": options.account,
        "--time": options.time,
        "--gres": None if options.gpus is None else f"gpu:{options.gpus}",
        "--cpus-per-task": options.cpus,
        "--mem": options.memory,
    }
    command = [
        *("sbatch", "--parsable", "--nodes=1", "--ntasks=1", f"--job-name={task.name}"),
        *("--requeue", f"--signal=B:USR1@{options.notice}"),
        # In this option alone, a % begins a pattern.
        *(f"--output={str(task.log).replace('%', '%%')}", "--open-mode=append"),
        f"--chdir={task.at}",
        *(f"{name}={value}" for name, value in asked.items() if value is not None),
        str(script),
    ]
    printed = output_of(command, environment=task.environment).decode()
    return printed.strip().partition(";")[0]  # of several clusters, it also says which


def look(job: str) -> Seen:
    """How a job stands now; one that SLURM has forgotten has ended. Raises CommandError."""
    command = ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T (%r)"]
    try:
        said = output_of(command).decode().strip()
    except CommandError as error:
        if "Invalid job id" not in error.said:
            raise
        said = ""
    state = said.partition(" ")[0]
    if state in WAITING:
        return Seen("waiting", said)
    return Seen("running" if state in AT_WORK else "ended", said or "forgotten")


def stop(job: str) -> None:
    """End a job for good: its run keeps a checkpoint, and can be resumed. Raises CommandError."""
    output_of(["scancel", job])


def requeue(job: str) -> None:
    """Have a job started again once there is room. Raises CommandError."""
    output_of(["scontrol", "requeue", job])
