"""Write a checkpoint with all processes of a training, each of which has a part of its tensors."""

from contextlib import suppress
from pathlib import Path

import torch
from research_data.durable import fsync_file, new_folder
from research_data.errors import StorageError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.tensor import DTensor

from research_train.processes.messages import share
from research_train.processes.world import World
from research_train.state.checkpoint import fill_folder
from research_train.state.sharded_state import write_shards
from research_train.state.snapshot import OPTIMIZER, SHARDS, Snapshot, content_as_json


def write_sharded(folder: Path, snapshot: Snapshot, world: World) -> None:
    """Write a snapshot as the checkpoint folder, each process its own shard of the optimizer.

    All processes call it together, and see the same folder. Raises StorageError, on all of them.
    """
    optimizer = snapshot.tensors.pop(OPTIMIZER)
    for tensors in snapshot.tensors.values():
        _gather(tensors, world)
    content = content_as_json(snapshot)
    failure: BaseException | None = None
    told = False
    if world.rank == 0:
        try:
            with new_folder(folder) as partial:
                told = True
                share(str(partial), world)
                write_shards(partial / SHARDS, optimizer)
                fsync_file(partial / SHARDS)
                fill_folder(partial, snapshot, content)
        except (StorageError, CheckpointException, FileExistsError) as error:
            failure = error
    if not told and (there := share(None, world)) is not None:
        with suppress(CheckpointException):  # then raised in the first process too
            write_shards(Path(there) / SHARDS, optimizer)
    said = share(failure and _reason(failure), world)
    if said is not None:
        raise StorageError(folder, OSError(0, said)) from failure


def _gather(tensors: dict[str, Tensor], world: World) -> None:
    """Make every divided tensor whole in the first process, one at a time."""
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            whole = tensor.full_tensor()  # all processes take part
            tensors[name] = whole.cpu() if world.rank == 0 else torch.empty(0)


def _reason(error: BaseException) -> str:
    """Why the first of the processes that failed could not write."""
    if isinstance(error, CheckpointException):
        failures = error.failures
        return "; ".join(f"process {rank}: {why[0]}" for rank, why in sorted(failures.items()))
    cause = error.__cause__
    return str(cause.strerror or cause) if isinstance(cause, OSError) else str(error)
