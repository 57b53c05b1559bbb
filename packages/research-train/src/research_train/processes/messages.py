"""Communicate between the processes that train one model: ranks, barriers, small messages.

Every process (rank) has the same model and takes its part of every batch; gradients are averaged
by torch's DistributedDataParallel. Rank 0 alone writes the run's record, lines and checkpoints.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from research_train.errors import RunError
from research_train.processes.world import World

PATIENCE = timedelta(minutes=10)  # how long a process waits for the others


@contextmanager
def joined(world: World) -> Iterator[None]:
    """In this block the processes can communicate; does nothing for a single process."""
    if world.size == 1:
        yield
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    with _quiet_stdout():  # gloo prints to stdout, where scripts read the run's folder
        dist.init_process_group(backend, timeout=PATIENCE)
        dist.barrier()
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def neighbours(world: World) -> Iterator[None]:
    """In this block, raise RunError if torch fails because another process is gone."""
    try:
        yield
    except RuntimeError as error:
        gone = isinstance(error, dist.DistError) or "by peer" in str(error)
        if world.size == 1 or not gone:
            raise
        raise RunError(
            f"another of the {world.size} processes of this training ended early; its message is "
            "above. `train --resume` continues from the last checkpoint."
        ) from error


def share(value: Any, world: World) -> Any:
    """Send rank 0's value, anything that JSON can hold, to every rank."""
    if world.size == 1:
        return value
    content = json.dumps(value).encode() if world.rank == 0 else b""
    length = torch.tensor([len(content)])
    dist.broadcast(length, 0)
    message = torch.zeros(int(length), dtype=torch.uint8)
    if world.rank == 0:
        message.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    dist.broadcast(message, 0)
    return json.loads(bytes(message.tolist()))


def gather(value: Any, world: World) -> list[Any]:
    """Every rank's value, in their order, on every rank."""
    if world.size == 1:
        return [value]
    content = json.dumps(value).encode()
    lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(world.size)]
    dist.all_gather(lengths, torch.tensor([len(content)]))
    longest = max(int(length) for length in lengths)
    padded = torch.zeros(longest, dtype=torch.uint8)
    padded[: len(content)] = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    messages = [torch.zeros(longest, dtype=torch.uint8) for _ in range(world.size)]
    dist.all_gather(messages, padded)
    return [
        json.loads(bytes(message[: int(length)].tolist()))
        for message, length in zip(messages, lengths, strict=True)
    ]


def largest(number: int, world: World) -> int:
    """The largest of every rank's number, on every rank."""
    if world.size == 1:
        return number
    value = torch.tensor([number])
    dist.all_reduce(value, dist.ReduceOp.MAX)
    return int(value)


def agree(values: Tensor, world: World) -> bool:
    """Whether these numbers are the same, to the bit, on every rank."""
    if world.size == 1:
        return True
    both = torch.stack([values, -values]).nan_to_num()
    dist.all_reduce(both, dist.ReduceOp.MAX)
    return bool((both[0] == -both[1]).all())


def mean_over_ranks(value: float, world: World) -> float:
    """The mean of every rank's number, on every rank."""
    if world.size == 1:
        return value
    number = torch.tensor([value], dtype=torch.float64)
    dist.all_reduce(number)
    return number.item() / world.size


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    sys.stdout.flush()
    kept = os.dup(1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)


def mean(values: Sequence[Tensor], world: World) -> list[float]:
    """The mean over ranks of each of some scalars."""
    if not values:
        return []
    stacked = torch.stack(list(values))
    if world.size > 1:
        stacked = stacked.cpu()
        dist.all_reduce(stacked)
        stacked /= world.size
    numbers: list[float] = stacked.tolist()
    return numbers
