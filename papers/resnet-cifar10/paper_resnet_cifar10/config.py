"""What ResNets on CIFAR-10 can vary."""

from typing import Annotated

from annotated_types import Ge
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from research_train import TrainConfig


class Config(TrainConfig):
    """One row of Table 6."""

    depth: Annotated[int, Ge(8)]
    """Layers, 6 n + 2: 20, 32, 44, 56 or 110 in the paper."""
    learning_rate: PositiveFloat
    """Step size of SGD with momentum 0.9, until it is first divided."""
    weight_decay: NonNegativeFloat
    """Weight decay of all parameters."""
    divide_at: list[int]
    """Steps after which the step size is divided by 10."""
    warm_up: NonNegativeInt
    """Steps at a tenth of the step size to begin with; the paper has some 400 for depth 110."""
    held_out: NonNegativeInt
    """Training images that are only for validation: 5,000 where the paper chooses a schedule."""
