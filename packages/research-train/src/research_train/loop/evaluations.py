"""Evaluate during training without affecting it, and remember the best result."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import nn

from research_train.errors import RunError
from research_train.loop.metrics import evaluation_mode
from research_train.processes.messages import largest, share
from research_train.record.record import Metrics, RecordedMetrics, line_metrics
from research_train.record.run import Run
from research_train.state.random_state import RandomState


@dataclass
class Outcome:
    """An evaluation's metrics, and whether it is the best; or why it failed, on any process."""

    metrics: RecordedMetrics = field(default_factory=dict)
    better: bool = False
    failed: Exception | None = None


class Evaluations:
    """Evaluates a model.

    best: the value of the best evaluation, the larger the better, and its step. since: how many
    there were after it.
    """

    def __init__(self, run: Run, model: nn.Module):
        self._run = run
        self._model = model
        self.begin()

    def begin(self, best: tuple[float, int] | None = None, since: int = 0) -> None:
        """Forget all, and begin with what a checkpoint has of it."""
        self.best = (best[0], best[1]) if best else None
        self.since = since

    @property
    def out_of_patience(self) -> bool:
        """Whether `patience` evaluations in a row were no better than the best."""
        return 0 < self._run.config.patience <= self.since

    def evaluate(self, evaluate: Callable[[], Metrics], step: int) -> Outcome:
        """Evaluate in evaluation mode; what it draws at random changes nothing."""
        world, outcome = self._run.world, Outcome()
        random = RandomState.capture()
        try:
            with evaluation_mode(self._model):
                outcome.metrics = line_metrics(evaluate())
            outcome.better = self._is_best(outcome.metrics, step)
        except Exception as error:
            outcome.failed = error
        random.restore()
        if largest(int(outcome.failed is not None), world):
            other = RunError("the evaluation failed in another of the processes")
            outcome.failed = outcome.failed or other
            return outcome
        # Rank 0 decides: the others may have other statistics in their normalisations.
        outcome.better, best, since = share([outcome.better, self.best, self.since], world)
        self.begin(best, since)
        return outcome

    def _is_best(self, metrics: RecordedMetrics, step: int) -> bool:
        kind, _, name = self._run.config.keep_best.partition(":")
        if not name:
            return False
        if name not in metrics:
            raise RunError(
                f"keep_best: no metric {name!r} was evaluated; there are {', '.join(metrics)}"
            )
        number = metrics[name]
        if number is None:  # no finite one: neither the best nor one that was no better
            return False
        value = number if kind == "max" else -number
        if self.best is None or value > self.best[0]:
            self.best, self.since = (value, step), 0
            return True
        self.since += 1
        return False
