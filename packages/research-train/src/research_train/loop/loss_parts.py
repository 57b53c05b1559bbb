"""Split a batch into parts, and weigh each part's mean loss."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from research_data.batches.in_memory import Batches
from research_data.batches.source import BatchSource
from torch import Tensor

from research_train.errors import RunError
from research_train.loop.metrics import IGNORED

Loss = Tensor | tuple[Tensor, Tensor | float]  # a mean over examples, or a mean and its weight


def mean_and_weight(loss: Loss) -> tuple[Tensor, Tensor | float | None]:
    """A loss function's mean, and the weight it returned with it (None if it returned none).

    Raises RunError if the loss is anything else than a scalar tensor or (scalar, weight).
    """
    mean, weight = loss if isinstance(loss, tuple) and len(loss) == 2 else (loss, None)
    if not isinstance(mean, Tensor) or mean.dim():
        kind = f"shape {tuple(mean.shape)}" if isinstance(mean, Tensor) else type(mean).__name__
        raise RunError(
            f"the loss must be a scalar tensor, or (scalar, weight): it is {kind}. Take its mean."
        )
    return mean, weight.detach() if isinstance(weight, Tensor) else weight


class IgnoredTargets:
    """Finds targets of -100 when a loss that returns no weight is computed in parts."""

    def __init__(self) -> None:
        self._data: object = None
        self._first = True
        self._seen: Tensor | None = None

    def begin(self, batches: BatchSource[Any]) -> None:
        """Start over with this data; nothing is checked before the first batch."""
        data = batches.data if type(batches) is Batches else ()  # a subclass may change it
        fields = list(data.values()) if isinstance(data, dict) else list(data)
        known = bool(fields) and all(isinstance(field, Tensor) for field in fields)
        self._data = data if known else None  # not data read from a file batch by batch
        self._first, self._seen = True, None

    def look_at(self, batch: object) -> None:
        """Check a batch; at the first one, check all data instead if it is in memory.

        Raises RunError at the first batch. Later ones are only noted, for `refuse` to raise, so
        that no step waits for the device.
        """
        if self._first:
            self._first = False
            self._note(batch if self._data is None else self._data)
            self.refuse()
        elif self._data is None:
            self._note(batch)

    def refuse(self) -> None:
        """Raise RunError if a batch that was checked had ignored targets."""
        seen, self._seen = self._seen, None
        if seen is not None and bool(seen):
            raise RunError(
                f"targets of {IGNORED} are left out of a mean loss, so each part of a batch must "
                "be weighted by its other targets, not by its examples: otherwise `accumulate` or "
                "several processes change the update. Return the weight from the loss function: "
                f"(loss, (targets != {IGNORED}).sum()), or (loss, len(targets)) if all targets "
                "count."
            )

    def _note(self, batch: object) -> None:
        for field in _integers(batch):
            seen = (field == IGNORED).any()
            self._seen = seen if self._seen is None else self._seen | seen.to(self._seen.device)


def _integers(batch: object) -> Iterable[Tensor]:
    if isinstance(batch, Tensor):
        if batch.dtype in (torch.int64, torch.int32, torch.int16, torch.int8):
            yield batch
    elif isinstance(batch, Mapping):
        yield from _integers(list(batch.values()))
    elif isinstance(batch, list | tuple):
        for each in batch:
            yield from _integers(each)
