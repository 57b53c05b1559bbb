"""Make the tasks that `srun -n 2 train ...` starts the processes of one training.

srun says which task each one is, by variables of its own; torch.distributed wants torchrun's.
"""

import os
import re

from research_data.errors import UsageError

SEEN = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")  # NVIDIA's, AMD's
FIRST_PORT, PORTS = 20000, 10000  # below those that Linux gives to programs


def join_tasks() -> None:
    """Set torchrun's variables where this process is one of several tasks that srun has started.

    MASTER_ADDR and MASTER_PORT are left as they are if they are set. Raises UsageError where the
    tasks were set up by torchrun or by hand, but each for a training of its own.
    """
    said, tasks = os.environ, _tasks()
    if tasks == 1:
        return
    if "WORLD_SIZE" in said:
        # torchrun's own number is that of its agents, one in each task.
        joined = int(said.get("GROUP_WORLD_SIZE") or said["WORLD_SIZE"])
        if joined < tasks:
            raise UsageError(
                f"srun started {tasks} tasks, but this one was told to train with {joined} of "
                f"them, so the others would train runs of their own. Leave out torchrun and "
                f"WORLD_SIZE: `srun train` makes all tasks one training. Or give torchrun "
                f"`--nnodes {tasks}` and one address for all."
            )
        return
    said |= {
        "RANK": said["SLURM_PROCID"],
        "WORLD_SIZE": str(tasks),
        "LOCAL_RANK": _local_rank(),
        "MASTER_ADDR": said.get("MASTER_ADDR") or first_node(said["SLURM_STEP_NODELIST"]),
        "MASTER_PORT": said.get("MASTER_PORT") or _port(),
    }


def refuse_tasks(command: str, instead: str = "") -> None:
    """Raise UsageError where a command that is one process is one of several tasks.

    instead: what else there is to type.
    """
    if (tasks := _tasks()) > 1:
        raise UsageError(
            f"this is one of {tasks} tasks of srun, and each would do the same: type "
            f"`srun -n 1 {command}`{instead}"
        )


def first_node(nodes: str) -> str:
    """The first of SLURM's list of nodes: gpu07 of `gpu[07-09,11],big1`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0]) if first else nodes


def _tasks() -> int:
    """How many tasks the step has that this process belongs to: not those of its job.

    One for what is typed in a shell by `srun --pty`, of whose tasks only the first has a terminal.
    """
    if "SLURM_PTY_PORT" in os.environ:
        return 1
    return int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1)


def _local_rank() -> str:
    """The number of this task on its node, or 0 where it sees one GPU only (--gpus-per-task)."""
    seen = next(filter(None, map(os.environ.get, SEEN)), "")
    return "0" if seen and "," not in seen else os.environ["SLURM_LOCALID"]


def _port() -> str:
    """A port that all tasks of a step choose alike, and those of another one differently."""
    job, step = (int(os.environ[f"SLURM_{name}_ID"]) for name in ("JOB", "STEP"))
    return str(FIRST_PORT + (16 * job + step) % PORTS)
