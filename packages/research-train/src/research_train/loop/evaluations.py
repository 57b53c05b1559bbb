"""Evaluate during training without affecting it, and remember the best result."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from research_train.errors import RunError
from research_train.loop.metrics import evaluation_mode
from research_train.loop.split_evaluation import split_over
from research_train.processes.messages import share
from research_train.record.record import Metrics, RecordedMetrics, line_metrics
from research_train.record.run import Run
from research_train.state.random_state import RandomState


@dataclass
class Outcome:
    """An evaluation's metrics and whether it is the best so far, or the error that it failed with.

    failed: set on every process if the evaluation failed on any of them.
    """

    metrics: RecordedMetrics = field(default_factory=dict)
    better: bool = False
    failed: Exception | None = None


class Evaluations:
    """Evaluates a model, and remembers the best evaluation.

    best: the watched metric of the best evaluation (negated for `min`, so that larger is better)
    and its step. since: how many evaluations came after it.
    """

    def __init__(self, run: Run, model: nn.Module):
        self._run = run
        self._model = model
        self.begin()

    def begin(self, best: tuple[float, int] | None = None, since: int = 0) -> None:
        """Start over, or from the values that a checkpoint holds."""
        self.best = (best[0], best[1]) if best else None
        self.since = since

    @property
    def out_of_patience(self) -> bool:
        """Whether `patience` evaluations in a row were no better than the best."""
        return 0 < self._run.config.patience <= self.since

    def evaluate(self, evaluate: Callable[[], Metrics], step: int) -> Outcome:
        """Evaluate in evaluation mode; random numbers drawn here don't affect the training."""
        world, outcome = self._run.world, Outcome()
        random = RandomState.capture()
        with split_over(world) as evaluation:
            try:
                with evaluation_mode(self._model):
                    outcome.metrics = line_metrics(evaluate())
                outcome.better = self._is_best(outcome.metrics, step)
            except Exception as error:
                outcome.failed = error
            random.restore()
            try:
                evaluation.agree(outcome.failed)
            except Exception as error:
                outcome.failed = error
                return outcome
        # Rank 0 decides: batch statistics in normalisation layers may differ between processes.
        outcome.better, best, since = share([outcome.better, self.best, self.since], world)
        self.begin(best, since)
        return outcome

    def _is_best(self, metrics: RecordedMetrics, step: int) -> bool:
        kind, _, name = self._run.config.keep_best.partition(":")
        if not name:
            return False
        if name not in metrics:
            raise RunError(
                f"keep_best: the evaluation returned no metric {name!r}, only {', '.join(metrics)}"
            )
        number = metrics[name]
        if number is None:  # not finite: neither the best, nor counted against `patience`
            return False
        value = number if kind == "max" else -number
        if self.best is None or value > self.best[0]:
            self.best, self.since = (value, step), 0
            return True
        self.since += 1
        return False
