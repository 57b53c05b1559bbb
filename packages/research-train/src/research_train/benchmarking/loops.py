"""Two loops over a paper's own step: a plain one in PyTorch, and the Trainer."""

from collections.abc import Iterator
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from research_train.benchmarking.captured import Captured
from research_train.errors import RunError
from research_train.loop.endless_batches import EndlessBatches
from research_train.loop.schedules import BaseRates
from research_train.loop.trainer import Trainer
from research_train.record.run import Run
from research_train.state.moving_state import start_training_mode
from research_train.state.optimizer_state import each_optimizer


class Loop(Protocol):
    """Steps of a training. batch, step: the methods (of which class) that do these."""

    batch: ClassVar[tuple[type, str]]
    step: ClassVar[tuple[type, str]]
    trainer: Trainer[Any]

    def run(self, count: int) -> None:
        """Do `count` steps more."""


class TrainerLoop:
    """The Trainer with metrics, trackers, progress and checkpoints; nothing is evaluated."""

    batch: ClassVar[tuple[type, str]] = (EndlessBatches, "next")
    step: ClassVar[tuple[type, str]] = (Trainer, "_stepped")

    def __init__(self, captured: Captured, run: Run):
        self.trainer = captured.trainer
        self._batches = captured.batches

    def run(self, count: int) -> None:
        """Fit `count` steps more, as a phase of the run."""
        self.trainer.fit(self._batches, steps=count)


class BareLoop:
    """A loop as anyone would write it: the same arithmetic, and nothing recorded.

    Raises RunError for a training that it can't stand for.
    """

    batch: ClassVar[tuple[type, str]]
    step: ClassVar[tuple[type, str]]

    def __init__(self, captured: Captured, run: Run):
        trainer = self.trainer = captured.trainer
        optimizer = trainer.optimizer
        config = run.config
        if captured.own_step:
            raise RunError("the training has a step= of its own, which a plain loop would miss")
        if not isinstance(optimizer, Optimizer):
            raise RunError(f"the training has {len(optimizer)} optimizers, a plain loop has one")
        if config.accumulate > 1 or config.precision == "float16":
            raise RunError("a plain loop neither accumulates gradients nor scales them (float16)")
        self._optimizer = optimizer
        self._model, self._loss = trainer.model, captured.loss
        self._schedule, self._clip_norm, self._ema = (
            trainer.schedule,
            trainer.clip_norm,
            trainer.ema,
        )
        self._rates = BaseRates([optimizer])
        self._autocast = trainer.autocast if config.precision != "float32" else None
        start_training_mode(self._model)
        self._batches = _endless(captured.batches.to(run.device))
        self._done = 0

    def run(self, count: int) -> None:
        """Do `count` steps more; the schedule starts again, as it does with each fit."""
        self._done = 0
        for _ in range(count):
            self.do_step(self.next_batch())

    def next_batch(self) -> Any:
        """The next batch, epoch after epoch."""
        return next(self._batches)

    def do_step(self, batch: Any) -> None:
        """Gradients of the loss, and the update."""
        if self._schedule is not None:
            self._rates.multiply(self._schedule(self._done))
        if self._autocast is None:
            loss = self._loss(self._model, batch)
        else:
            with self._autocast():
                loss = self._loss(self._model, batch)
        mean = loss if isinstance(loss, Tensor) else loss[0]
        mean.backward()
        if self._clip_norm is not None:
            clip_grad_norm_(self._model.parameters(), self._clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._ema is not None:
            self._ema.update_parameters(self._model)
        self._done += 1


BareLoop.batch = (BareLoop, "next_batch")
BareLoop.step = (BareLoop, "do_step")


def loop_tensors(loop: Loop) -> Iterator[Tensor]:
    """What stays in memory between two steps: weights, buffers, averages, optimizer state."""
    trainer = loop.trainer
    models: list[nn.Module] = [trainer.model, *([trainer.ema] if trainer.ema is not None else [])]
    for model in models:
        yield from model.parameters()
        yield from model.buffers()
    for optimizer in each_optimizer(trainer.optimizer).values():
        for state in optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))


def _endless(batches: Any) -> Iterator[Any]:
    while True:
        yield from batches
