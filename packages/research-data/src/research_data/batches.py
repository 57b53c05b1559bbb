"""Batches of data that fits in memory, whose position can be saved and restored exactly."""

from collections.abc import Iterator
from typing import Generic, TypedDict, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

Fields = TypeVar("Fields", bound=tuple[Tensor, ...])


class BatchesState(TypedDict):
    """Where in the data a Batches stands: all that a resume needs."""

    epoch: int
    position: int
    examples: int


class Batches(Generic[Fields]):
    """Iterate over a tuple of tensors in batches, one epoch an iteration.

    data: a tuple or named tuple of tensors, each (examples, ...); batches have the same type.
    batch_size: examples a batch; the last batch of an epoch may be smaller, unless drop_last.
    shuffle: a new order every epoch, which depends on seed and the epoch's number alone.

    An iteration begun after `load_state_dict` yields what was left of that epoch.
    """

    def __init__(
        self,
        data: Fields,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
    ):
        examples = {len(field) for field in data}
        if len(examples) != 1:
            raise ValueError(f"the fields of data differ in length: {sorted(examples)}")
        self.data = data
        self.examples = examples.pop()
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        if self.examples == 0 or (drop_last and self.examples < batch_size):
            raise ValueError(f"{self.examples} examples make no batch of {batch_size}")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        self.position = 0

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, rest = divmod(self.examples, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def __iter__(self) -> Iterator[Fields]:
        """Yield the batches that the current epoch still holds, then move on to the next."""
        order = self._order()
        while self.position < len(self):
            start = self.position * self.batch_size
            rows = slice(start, start + self.batch_size)
            # Counted before it is handed out: a checkpoint taken after its step is past it.
            self.position += 1
            if order is None:
                yield self._rebuild([field[rows] for field in self.data])
            else:
                yield self._rebuild([field[order[rows]] for field in self.data])
        self.epoch += 1
        self.position = 0

    def to(self, device: torch.device) -> "Batches[Fields]":
        """Hold the data on device from now on; returns self."""
        self.data = self._rebuild([field.to(device) for field in self.data])
        return self

    def state_dict(self) -> BatchesState:
        """The position, after the batches handed out so far."""
        return {"epoch": self.epoch, "position": self.position, "examples": self.examples}

    def load_state_dict(self, state: BatchesState) -> None:
        """Go to a saved position. Raises ValueError when it belongs to data of another length."""
        if state["examples"] != self.examples:
            raise ValueError(
                f"the saved position is in {state['examples']} examples, here are {self.examples}"
            )
        self.epoch = state["epoch"]
        self.position = state["position"]

    def _order(self) -> Tensor | None:
        if not self.shuffle:
            return None
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.examples)
        return torch.from_numpy(order).to(self.data[0].device)

    def _rebuild(self, fields: list[Tensor]) -> Fields:
        make = getattr(
            type(self.data), "_make", type(self.data)
        )  # a named tuple's, or tuple itself
        return cast(Fields, make(fields))
