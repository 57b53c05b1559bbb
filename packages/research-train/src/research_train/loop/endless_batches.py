"""Repeat batches epoch after epoch, with the position in the data before each."""

from typing import Generic, TypeVar

from research_data.batches.source import BatchSource

from research_train.errors import Interrupted, RunError
from research_train.processes.signals import BUDGET, StopRequest

Batch = TypeVar("Batch")


class EndlessBatches(Generic[Batch]):
    """Takes batches from a source, and starts its next epoch when one ends.

    position: the source's state_dict from before the last batch was taken; kept up to date only if
    `stop` is given.
    """

    def __init__(self, source: BatchSource[Batch], steps: int, done: int, stop: StopRequest | None):
        """steps: the phase's length. done: its steps done before. stop: raises while waiting."""
        self.position = source.state_dict()
        self._source = source
        self._steps, self._taken = steps, done
        self._stop = stop
        self._epoch = iter(source)
        self._gave = (
            False  # in this epoch; the first may be empty, if a checkpoint was at an epoch's end
        )

    def next(self) -> Batch:
        """The next batch.

        Raises Interrupted if a signal comes while waiting for it, RunError if a whole epoch has no
        batch.
        """
        epochs_of_nothing = 0
        while True:
            if self._stop is not None:
                self.position = self._source.state_dict()
            batch = self._waited_for()
            if batch is not None:
                self._taken, self._gave = self._taken + 1, True
                return batch
            epochs_of_nothing += not self._gave
            if epochs_of_nothing > 1:
                raise RunError(
                    f"{self._steps} steps were asked for, but the data gave only {self._taken} "
                    "batches, and then none for a whole epoch"
                )
            self._gave, self._epoch = False, iter(self._source)

    def _waited_for(self) -> Batch | None:
        stop = self._stop
        if stop is None:
            return next(self._epoch, None)
        try:
            stop.waiting = True
            if stop.signal and stop.signal != BUDGET:  # that one leaves time for a step
                raise Interrupted(stop.signal)
            return next(self._epoch, None)
        finally:
            stop.waiting = False
