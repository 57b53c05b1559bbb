"""A torch DataLoader over any dataset, whose position and random augmentation resume exactly."""

import random
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from typing import Generic, Self, TypeVar, Unpack, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Subset, default_collate

from research_data.batches.source import BatchSource, Keywords, Order, show_keywords

Example = TypeVar("Example")
Batch = TypeVar("Batch")
Part = tuple[int, list[int]]  # an epoch's number, and the examples of one batch


class StatefulDataLoader(BatchSource[Batch], Generic[Example, Batch]):
    """Batches of a map-style dataset through torch's DataLoader, for data that Batches can't hold.

    dataset: anything with a length and `dataset[index]`. num_workers: processes that read ahead.
    collate_fn: list of examples -> batch. The other arguments are those of Batches.

    Random numbers that the dataset draws from the global CPU generators of Python, NumPy or torch
    depend only on seed, epoch and the example's index. Those drawn by collate_fn, or by a dataset
    that reads whole batches (`__getitems__`), depend only on seed, epoch and the rank's part of the
    batch. They are therefore the same with any number of workers and after a resume, which reads no
    batch again. The generators that training uses are not changed. The dataset must seed and
    restore any generator of its own.
    """

    @show_keywords
    def __init__(
        self,
        dataset: Dataset[Example],
        batch_size: int,
        *,
        num_workers: int = 0,
        collate_fn: Callable[[list[Example]], Batch] = default_collate,
        **keywords: Unpack[Keywords],
    ):
        if not hasattr(dataset, "__len__"):
            raise ValueError(
                f"{type(dataset).__name__} has no length, so a saved position in it can't be "
                "restored. Give it __len__ and __getitem__."
            )
        super().__init__(
            len(cast(Sized, dataset)),
            batch_size,
            **keywords,
        )
        self._batches = _SeededBatches(dataset, collate_fn, self.seed)
        self._remaining = _Remaining()
        self._workers = num_workers
        self._device = torch.device("cpu")
        self._loader: DataLoader[Batch] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches that the current epoch still holds, then move on to the next."""
        if self._loader is None:
            self._loader = DataLoader(
                cast("Dataset[Batch]", self._batches),
                batch_size=None,  # each item of _SeededBatches is a whole batch
                sampler=cast("torch.utils.data.Sampler[Part]", self._remaining),
                collate_fn=_as_it_is,
                num_workers=self._workers,
                persistent_workers=self._workers > 0,
                pin_memory=self._device.type == "cuda",
                generator=torch.Generator(),  # else it draws from the generator of the training
            )
        self._remaining.epoch, self._remaining.order = self.epoch, self._order()
        self._remaining.parts = [self._part(batch) for batch in range(self.position, len(self))]
        for batch in self._loader:
            self._hand_out()
            yield cast(Batch, _moved(batch, self._device))
        self._end_epoch()

    def to(self, device: torch.device) -> Self:
        """Copy each batch to device as it is handed out, from now on; returns self."""
        if device != self._device:
            self._device, self._loader = device, None
        return self


class _Remaining:
    """A sampler of the rest of an epoch, which is set before each iteration.

    It holds no reference to the source: a loader that is part of a reference cycle waits 5 s for
    each of its workers when it is garbage-collected.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.order: Order | None = None
        self.parts: list[slice] = []

    def __iter__(self) -> Iterator[Part]:
        for part in self.parts:
            rows = range(part.start, part.stop) if self.order is None else self.order[part].tolist()
            yield self.epoch, list(rows)


class _SeededBatches(Generic[Example, Batch]):
    """Whole batches of a dataset, each read and collated with its own seeds."""

    def __init__(
        self, dataset: Dataset[Example], collate: Callable[[list[Example]], Batch], seed: int
    ):
        self.dataset, self.collate, self.seed = dataset, collate, seed

    def __getitem__(self, part: Part) -> Batch:
        epoch, rows = part
        with _generators_kept():
            examples = self._read(epoch, rows)
            _seed_generators(self.seed, epoch, rows[0], 1)  # differs from the seeds of examples
            return self.collate(examples)

    def _read(self, epoch: int, rows: list[int]) -> list[Example]:
        # A Subset has __getitems__ too, but usually reads its examples one by one.
        if not isinstance(self.dataset, Subset) and hasattr(self.dataset, "__getitems__"):
            _seed_generators(self.seed, epoch, rows[0])
            return list(self.dataset.__getitems__(rows))
        examples = []
        for row in rows:
            _seed_generators(self.seed, epoch, row)
            examples.append(self.dataset[row])
        return examples


@contextmanager
def _generators_kept() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_generators(*parts: int) -> None:
    python, numpy, own = np.random.SeedSequence(parts).generate_state(3).tolist()
    random.seed(python)
    np.random.seed(numpy)
    torch.default_generator.manual_seed(own)  # torch.manual_seed would also seed the GPUs


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _moved(batch: object, device: torch.device) -> object:
    """The tensors of a batch on device, in tuples, lists and dicts of any depth."""
    if hasattr(batch, "to"):  # tensors, and a tokenizer's BatchEncoding
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {name: _moved(value, device) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        moved = [_moved(value, device) for value in batch]
        return getattr(type(batch), "_make", type(batch))(moved)
    return batch
