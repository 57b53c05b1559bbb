"""SLURM as a place to run trainings: start, look, stop.

Plain sbatch, not submitit (1.5): that stores a call as a pickle, of whatever it closes over, which
a worker of the same Python and libraries loads; here a job is a command line, a person can read
its script, and the training already knows the signals. It would bring nothing but the options.
"""

import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from research_train.errors import CommandError
from research_train.places.cluster_options import ClusterOptions
from research_train.processes.children import output_of

SCRIPT = "job.sh"
LOG = "log.txt"
LARGEST_ARRAY = 1001  # elements, unless the cluster says otherwise
JOB = "RESEARCH_JOB"  # set in our own jobs only, not in an allocation that a user works in
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT")
# Reasons for which a job waits until a person does something.
LASTING = (
    *("AccountNotAllowed", "BadConstraints", "InvalidAccount", "InvalidQOS", "JobHeldAdmin"),
    *("JobHeldUser", "PartitionConfig", "PartitionDown", "PartitionInactive"),
    *("PartitionNodeLimit", "PartitionTimeLimit", "QOSNotAllowed"),
)
PATIENCE = 60.0  # seconds for an answer of SLURM's
# What sbatch says where the queue takes no more jobs: of a user by the accounting's limits; of
# anybody, after which it tries for two minutes.
FULL = ("accounting/QOS policy", "temporarily un")
ADVICE_WHEN_FULL = (
    "The queue takes no more jobs for now: wait until some have ended, or ask for fewer runs at a "
    "time (some claims, fewer seeds)."
)
AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")


@dataclass(frozen=True)
class Task:
    """What a job does.

    name: how squeue shows it. program: the command, of Python in the folder of its interpreter,
    which every node sees. environment: its variables. at: the folder it works in. folder: its own,
    for script and log. elements: for a job array, the words that each element adds to the program.
    at_once: how many of them at most run.
    """

    name: str
    program: list[str]
    environment: dict[str, str]
    at: Path
    folder: Path
    elements: Sequence[Sequence[str]] = ()
    at_once: int | None = None


def log_of(folder: Path, element: int | None = None) -> Path:
    """What a job, or an element of one, prints on whichever node and however often it starts."""
    return folder / (LOG if element is None else f"log-{element}.txt")


@dataclass(frozen=True)
class Seen:
    """How a job, or an element of one, stands. said: SLURM's words, as `PENDING (Resources)`."""

    state: Literal["waiting", "running", "ended"]
    said: str

    @property
    def reason(self) -> str:
        """Why it waits, as `Resources`."""
        return self.said.partition("(")[2].rstrip(")")


FORGOTTEN = Seen("ended", "forgotten by SLURM")


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
    script.write_text(_script(task))
    command = [
        *("sbatch", "--parsable", "--nodes=1", "--ntasks=1", f"--job-name={task.name}"),
        *("--requeue", f"--signal=B:USR1@{options.notice}"),
        *(f"--output={_log_pattern(task)}", "--open-mode=append"),
        *([f"--array={_indices(task)}"] if task.elements else []),
        f"--chdir={task.at}",
        *_asked(options),
        str(script),
    ]
    try:
        printed = output_of(command, environment=task.environment).decode()
    except CommandError as error:
        if any(words in error.said for words in FULL):
            raise CommandError(f"{error}. {ADVICE_WHEN_FULL}", error.said) from error
        raise
    return printed.strip().partition(";")[0]  # of several clusters, it also says which


def refuse_impossible(options: ClusterOptions) -> None:
    """Raise CommandError with sbatch's own words where it would refuse a job that asks for this."""
    command = ["sbatch", "--test-only", "--nodes=1", "--ntasks=1", *_asked(options)]
    output_of(command, given=b"#!/bin/sh\n", patience=PATIENCE)


def look(job: str) -> Seen:
    """How a job stands now; one that SLURM has forgotten has ended. Raises CommandError."""
    return look_at([job]).get(job, FORGOTTEN)


def look_at(jobs: Iterable[str]) -> dict[str, Seen]:
    """How jobs stand now: `12`, or `12_0`, `12_1`, ... for the elements of an array.

    What has ended some minutes ago is forgotten, and left out. Raises CommandError.
    """
    if not (asked := ",".join(jobs)):
        return {}
    shown = ["squeue", "--noheader", "--states=all", "--array", "--format=%i|%T|%r"]
    try:
        printed = output_of([*shown, f"--jobs={asked}"], patience=PATIENCE).decode()
    except CommandError as error:
        if "Invalid job id" not in error.said:
            raise
        return {}
    found = {}
    for line in printed.splitlines():
        job, state, reason = line.strip().split("|", 2)
        where = "waiting" if state in WAITING else "running" if state in AT_WORK else "ended"
        found[job] = Seen(where, f"{state} ({reason})")  # type: ignore[arg-type]  # one of them
    return found


def job_of_script(script: Path) -> str | None:
    """The job of this user's that a script was submitted as; None if SLURM knows none."""
    command = ["squeue", "--noheader", "--me", "--states=all", "--format=%A|%o"]
    for line in output_of(command, patience=PATIENCE).decode().splitlines():
        job, _, file = line.strip().partition("|")
        if file == str(script):
            return job
    return None


def largest_array() -> int:
    """How many elements a job array may have. Raises CommandError."""
    said = output_of(["scontrol", "show", "config"], patience=PATIENCE).decode()
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE)
    return int(match[1]) if match else LARGEST_ARRAY


def stop(job: str) -> None:
    """End a job for good: its run keeps a checkpoint, and can be resumed. Raises CommandError."""
    output_of(["scancel", job], patience=PATIENCE)


def requeue(job: str) -> None:
    """Have a job started again once there is room. Raises CommandError."""
    output_of(["scontrol", "requeue", job], patience=PATIENCE)


def _asked(options: ClusterOptions) -> list[str]:
    asked = {
        "--partition": options.partition,
        "--account": options.account,
        "--time": options.time,
        "--gres": None if options.gpus is None else f"gpu:{options.gpus}",
        "--cpus-per-task": options.cpus,
        "--mem": options.memory,
    }
    return [f"{name}={value}" for name, value in asked.items() if value is not None]


def _script(task: Task) -> str:
    interpreter = Path(task.program[0]).with_name("python")
    unseen = (
        f"error: this node has no {interpreter}. The assets folder, and the interpreter that this "
        "links to, must have the same path on every node"
    )
    lines = [
        "#!/bin/sh",
        f"test -x {shlex.quote(str(interpreter))} || {{ echo {shlex.quote(unseen)} >&2; exit 1; }}",
        f"export {JOB}={shlex.quote(str(task.folder))}",
    ]
    program = shlex.join(task.program)
    if task.elements:
        program += ' "$@"'
        lines.append('export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$SLURM_CPUS_ON_NODE}"')
        lines.append("case $SLURM_ARRAY_TASK_ID in")
        lines += [f"{n}) set -- {shlex.join(each)} ;;" for n, each in enumerate(task.elements)]
        lines.append("esac")
    # exec: the signal before the time limit goes to the process of the script alone.
    return "\n".join([*lines, f"exec {program}", ""])


def _log_pattern(task: Task) -> str:
    """The log for --output, where alone a % begins a pattern."""
    folder = str(task.folder).replace("%", "%%")
    return f"{folder}/log-%a.txt" if task.elements else f"{folder}/{LOG}"


def _indices(task: Task) -> str:
    limit = "" if task.at_once is None else f"%{task.at_once}"
    return f"0-{len(task.elements) - 1}{limit}"
