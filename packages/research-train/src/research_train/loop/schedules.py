"""Learning-rate schedules: functions of the step that give a factor for every base rate.

A schedule is called with the number of updates done so far, 0 for the first. As it has no state, a
resume finds it where it was.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from research_train.errors import RunError

Schedule = Callable[[int], float]


def constant() -> Schedule:
    """1 at every step."""
    return lambda step: 1.0


def linear(steps: int, end: float = 0.0) -> Schedule:
    """From 1 at the first step to end after `steps`, in a line; end from then on."""
    return lambda step: 1 + (end - 1) * min(step / steps, 1.0)


def cosine(steps: int, end: float = 0.0) -> Schedule:
    """From 1 to end after `steps`, along half a cosine (1608.03983, equation 5)."""
    return lambda step: end + (1 - end) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def steps_down(at: tuple[int, ...], factor: float = 0.1) -> Schedule:
    """Multiplied by factor once each of the steps in `at` has been done."""
    return lambda step: factor ** sum(step >= boundary for boundary in at)


def warm_up(steps: int, then: Schedule | None = None) -> Schedule:
    """Up to the full rate over `steps` steps, in a line; then another, counted from its end.

    The first step has the factor 1 / steps, the last of the warm-up 1.
    """
    after = then or constant()
    return lambda step: (step + 1) / steps if step < steps else after(step - steps)


class BaseRates:
    """The learning rates that optimizers began with, which a schedule multiplies."""

    def __init__(self, optimizers: Sequence[Optimizer]):
        self._optimizers = optimizers
        self._rates = [group["lr"] for group in self._groups()]

    def multiply(self, factor: float) -> None:
        """Set every learning rate to its base rate times factor.

        Raises RunError where groups of parameters have come since.
        """
        groups = self._groups()
        if len(groups) != len(self._rates):
            raise RunError(
                f"the optimizer has {len(groups)} parameter groups, {len(self._rates)} when the "
                "Trainer was made: the schedule can't know the rates of the others. Make all "
                "groups first, those to come with parameters that don't require gradients."
            )
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]
