"""Stop a paper's training at its first `fit`, to time its own model, loss, optimizer and data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from research_data.batches.source import BatchSource
from torch import nn

from research_train.benchmarking.replaced import Method, replaced
from research_train.errors import RunError
from research_train.experiment.members import Experiment
from research_train.loop.loss_parts import Loss
from research_train.loop.trainer import Trainer
from research_train.record.run import Run


@dataclass(frozen=True)
class Captured:
    """What a paper's training was about to fit. own_step: whether it has a `step=` of its own."""

    trainer: Trainer[Any]
    batches: BatchSource[Any]
    loss: Callable[[nn.Module, Any], Loss]
    own_step: bool


def captured_fit(experiment: Experiment, run: Run) -> Captured:
    """Run the paper's `train(config, run)` up to its first `fit`, which is left out.

    Raises RunError if it fits no Trainer, and what the paper's code raises.
    """

    def caught(fit: Method) -> Method:
        def stop(trainer: Trainer[Any], batches: BatchSource[Any], *_: Any, **__: Any) -> None:
            functions = trainer._functions
            own_step = functions["step"] is not None
            raise _FirstFit(Captured(trainer, batches, functions["loss"], own_step))  # type: ignore[arg-type]

        return stop

    train = experiment.function("train")
    with replaced(Trainer, "fit", caught):
        try:
            train(run.config, run)
        except _FirstFit as first:
            return first.captured
    raise RunError(f"{experiment.name}: its train fits no Trainer, so there is no step to time")


class _FirstFit(BaseException):
    """The way out of a paper's code. Not an Exception: no `except Exception` swallows it."""

    def __init__(self, captured: Captured):
        super().__init__()
        self.captured = captured
