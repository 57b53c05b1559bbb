"""Learning-rate schedules: functions of the step that give a factor for every base rate.

A schedule is called with the number of updates done so far, 0 for the first. It has no state, so a
resume has nothing to restore.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch.optim import Optimizer

from research_train.errors import RunError

Schedule = Callable[[int], float]  # step -> what the learning rate is multiplied by


def constant() -> Schedule:
    """1 at every step."""
    return lambda step: 1.0


def linear(steps: int, end: float = 0.0) -> Schedule:
    """Linearly from 1 at the first step to end after `steps`; end from then on."""
    return lambda step: 1 + (end - 1) * min(step / steps, 1.0)


def cosine(steps: int, end: float = 0.0) -> Schedule:
    """From 1 to end after `steps`, along half a cosine (arXiv 1608.03983, equation 5)."""
    return lambda step: end + (1 - end) * (1 + math.cos(math.pi * min(step / steps, 1.0))) / 2


def steps_down(at: tuple[int, ...], factor: float = 0.1) -> Schedule:
    """Multiplied by factor once each of the steps in `at` has been done."""
    return lambda step: factor ** sum(step >= boundary for boundary in at)


def warm_up(steps: int, then: Schedule | None = None) -> Schedule:
    """Linearly up to the full rate over `steps` steps; then another schedule, from its own step 0.

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

        Raises RunError if parameter groups were added since.
        """
        groups = self._groups()
        if len(groups) != len(self._rates):
            raise RunError(
                f"the optimizer has {len(groups)} parameter groups, but had {len(self._rates)} "
                "when the Trainer was made: the schedule doesn't know the base rates of the "
                "others. Make all groups first, with parameters that require no gradients until "
                "later."
            )
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimizer in self._optimizers for group in optimizer.param_groups]
