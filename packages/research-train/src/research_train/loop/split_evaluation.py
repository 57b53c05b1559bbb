"""Split an evaluation over the processes of a training: each example is counted once.

In `fit` every process calls the paper's `evaluate`. The metrics of metrics.py look at a part of
the examples in each, and add up what they counted; a paper's own function looks at all of them, and
what the first process found is recorded.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn

from research_train.errors import RunError
from research_train.processes.messages import gather
from research_train.processes.world import World


class FailedElsewhereError(RunError):
    """The evaluation failed in another process, which says why."""


class SplitEvaluation:
    """An evaluation under way, in which the processes tell each other at once if one fails.

    Otherwise one would wait for a message that the other never sends. failed: whether any has.
    """

    def __init__(self, world: World):
        self.world = world
        self.failed = False

    def agree(self, error: Exception | None) -> None:
        """Raise this process's error, or FailedElsewhereError if only another has one."""
        if self.world.size > 1 and not self.failed:
            self.failed = any(gather(error is not None, self.world))
        if error is not None:
            raise error
        if self.failed:
            raise FailedElsewhereError("the evaluation failed in another process")

    def part(self, examples: int) -> tuple[int, int]:
        """The first of this process's examples, and the one after its last; parts may be empty."""
        rank, size = self.world.rank, self.world.size
        return examples * rank // size, examples * (rank + 1) // size

    def passes(self, examples: int, chunk: int) -> int:
        """How many forward passes of at most `chunk` examples each process does: all the same.

        With `parallel=fsdp` the processes must meet in each.
        """
        largest = -(-examples // self.world.size)
        return -(-largest // chunk)

    @contextmanager
    def same_buffers(self, model: nn.Module) -> Iterator[None]:
        """In this block every process has the first one's buffers: a norm's statistics differ."""
        buffers = list(model.buffers()) if self.world.size > 1 else []
        own = [buffer.detach().clone() for buffer in buffers]
        for buffer in buffers:
            dist.broadcast(buffer.detach(), 0)
        try:
            yield
        finally:
            with torch.no_grad():  # the first one's haven't changed
                for buffer, value in zip(buffers, own, strict=True):
                    if self.world.rank > 0:
                        buffer.copy_(value)

    def total(self, sums: Tensor) -> Tensor:
        """The sums of all processes, on the CPU."""
        if self.world.size > 1:
            dist.all_reduce(sums)
        return sums


_alone = SplitEvaluation(World())
_present = _alone


def present_evaluation() -> SplitEvaluation:
    """The evaluation of `fit` that is under way, or that of a process alone."""
    return _present


@contextmanager
def split_over(world: World) -> Iterator[SplitEvaluation]:
    """In this block the metrics of metrics.py look at a part of the examples in each process."""
    global _present
    _present = SplitEvaluation(world)
    try:
        yield _present
    finally:
        _present = _alone
