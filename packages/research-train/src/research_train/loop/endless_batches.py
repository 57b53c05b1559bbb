"""Repeat batches epoch after epoch, with the position in the data before each."""

from typing import Generic, TypeVar

from research_data.batches.source import BatchSource

from research_train.errors import Interrupted, RunError
from research_train.processes.signals import StopRequest

Batch = TypeVar("Batch")


class EndlessBatches(Generic[Batch]):
    """Takes batches from a source, and begins its next epoch where one ends.

    position: in the data, before the batch taken last, as the source's state_dict says; kept only
    where a stop can come while a batch is waited for.
    """

    def __init__(self, source: BatchSource[Batch], steps: int, done: int, stop: StopRequest | None):
        """steps, done: how many the phase takes, and took before. stop: answered at once."""
        self.position = source.state_dict()
        self._source = source
        self._steps, self._taken = steps, done
        self._stop = stop
        self._epoch = iter(source)
        self._gave = False  # this epoch; the first may only end one that a checkpoint ended with

    def next(self) -> Batch:
        """The next batch.

        Raises Interrupted for a signal that comes while one is waited for, RunError where a whole
        epoch has none.
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
                    f"{self._steps} steps are wanted, and the data gave {self._taken} batches: "
                    "then it had none for a whole epoch"
                )
            self._gave, self._epoch = False, iter(self._source)

    def _waited_for(self) -> Batch | None:
        stop = self._stop
        if stop is None:
            return next(self._epoch, None)
        try:
            stop.waiting = True
            if stop.signal:
                raise Interrupted(stop.signal)
            return next(self._epoch, None)
        finally:
            stop.waiting = False
