"""The interface of every source of batches: its order by seed and epoch, and its position."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, NotRequired, Self, TypedDict, TypeVar, cast

import numpy as np
import torch

Batch = TypeVar("Batch")
Order = np.ndarray[tuple[int], np.dtype[np.int64]]
Function = TypeVar("Function", bound=Callable[..., Any])


class Keywords(TypedDict, total=False):
    """The types of the keywords of every source; BatchSource has their defaults."""

    shuffle: bool
    seed: int
    drop_last: bool
    rank: int
    world_size: int


class BatchesState(TypedDict):
    """The position of a source in its data: all that a resume needs, on any number of processes.

    epoch, position: completed epochs, and batches handed out in the current one. The other keys
    identify the data and its order, and must be the same on restoring; data is a short hash of the
    content. Older states have none of these but examples.
    """

    epoch: int
    position: int
    examples: int
    batch_size: NotRequired[int]
    shuffle: NotRequired[bool]
    seed: NotRequired[int]
    drop_last: NotRequired[bool]
    data: NotRequired[str]


class BatchSource(ABC, Generic[Batch]):
    """Batches of a known number of examples; one iteration is one epoch.

    The arguments are explained in Batches. weight: the weight of this rank's mean over the last
    batch in the mean over all ranks; 1.0 when all ranks have equal parts. count: the number of
    examples in that batch, over all ranks.
    """

    def __init__(
        self,
        examples: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        if examples == 0 or (drop_last and examples < batch_size):
            raise ValueError(f"{examples} examples make no batch of {batch_size}")
        self.examples = examples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.position = 0
        self.count = batch_size
        self.shard(rank, world_size)

    @abstractmethod
    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that the current epoch still holds, then move on to the next."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Hand out batches on device from now on; returns self."""

    def __len__(self) -> int:
        """Batches an epoch, the same on every rank."""
        whole, rest = divmod(self.examples, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def shard(self, rank: int, world_size: int) -> Self:
        """Hand out this rank's part of every batch from now on; returns self.

        A batch is cut into consecutive parts that differ by one example at most. Raises ValueError
        when a batch has fewer examples than there are ranks.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be from 0 to {world_size - 1}, got {rank}")
        smallest = self._count(len(self) - 1)
        if smallest < world_size:
            which = "a batch" if smallest == self.batch_size else "the last batch of an epoch"
            way_on = "a larger batch_size" if smallest == self.batch_size else "drop_last=True"
            raise ValueError(
                f"{which} has {smallest} of the {self.examples} examples, too few for {world_size} "
                f"processes: take {way_on}, or fewer processes"
            )
        self.rank, self.world_size, self.weight = rank, world_size, 1.0
        return self

    def state_dict(self) -> BatchesState:
        """The position, after the batches handed out so far; the same on every rank."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "examples": self.examples,
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "seed": self.seed,
            "drop_last": self.drop_last,
        }

    def load_state_dict(self, state: BatchesState) -> None:
        """Go to a saved position, without reading the data before it.

        Raises ValueError, which says what differs, when the position is one in other data or in
        another order; the present position is then kept.
        """
        saved, own = (
            cast(Mapping[str, object], state),
            cast(Mapping[str, object], self.state_dict()),
        )
        if missing := {"epoch", "position", "examples"} - saved.keys():
            raise ValueError(f"the saved position has no {', '.join(sorted(missing))}")
        if state["examples"] != self.examples:
            raise ValueError(
                f"the saved position is in {state['examples']} examples, but here are "
                f"{self.examples}"
            )
        differing = [
            f"{name} was {saved[name]!r}, is {own[name]!r}"
            for name in own
            if name not in ("epoch", "position") and saved.get(name, own[name]) != own[name]
        ]
        if differing:
            raise ValueError(
                "the saved position is in other data or in another order: " + "; ".join(differing)
            )
        if state["epoch"] < 0 or not 0 <= state["position"] <= len(self):
            raise ValueError(
                f"the saved position is batch {state['position']} of epoch {state['epoch']}, "
                f"but an epoch here has {len(self)} batches"
            )
        self.epoch = state["epoch"]
        self.position = state["position"]

    def _order(self) -> Order | None:
        """The indices of the examples in this epoch's order; None when they aren't shuffled."""
        if not self.shuffle:
            return None
        return np.random.default_rng([self.seed, self.epoch]).permutation(self.examples)

    def _part(self, position: int) -> slice:
        """This rank's part of a batch, as a range of the epoch's order."""
        start, count = position * self.batch_size, self._count(position)
        return slice(
            start + count * self.rank // self.world_size,
            start + count * (self.rank + 1) // self.world_size,
        )

    def _count(self, position: int) -> int:
        return min(self.batch_size, self.examples - position * self.batch_size)

    def _hand_out(self) -> slice:
        """This rank's part of the next batch; advances the position past that batch.

        The position advances before the training step, so that a checkpoint after the step resumes
        with the following batch.
        """
        if self.world_size == 1:
            start = self.position * self.batch_size
            stop = min(start + self.batch_size, self.examples)
            self.position, self.count = self.position + 1, stop - start
            return slice(start, stop)
        part, self.count = self._part(self.position), self._count(self.position)
        self.weight = (part.stop - part.start) * self.world_size / self.count
        self.position += 1
        return part

    def _end_epoch(self) -> None:
        self.epoch += 1
        self.position = 0


def show_keywords(function: Function) -> Function:
    """Let `help` show the keywords and defaults of BatchSource for `**keywords` of function."""
    own = inspect.signature(function)
    named = [each for each in own.parameters.values() if each.kind is not each.VAR_KEYWORD]
    source = inspect.signature(BatchSource.__init__).parameters.values()
    shown = [*named, *(each for each in source if each.kind is each.KEYWORD_ONLY)]
    function.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
    return function
