"""What grokking can vary."""

from typing import Annotated, Literal

from annotated_types import Gt, Lt
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """One task and how much of it is for training. `seed` also draws the split."""

    operation: Literal["addition", "subtraction", "multiplication", "division"]
    """The operation on two numbers (2201.02177, appendix A.1.1)."""
    modulus: PositiveInt
    """p, prime for division: 97 in 2201.02177, 113 in 2301.05217."""
    train_share: Annotated[float, Gt(0), Lt(1)]
    """Share of all pairs of numbers that is for training."""
    learning_rate: PositiveFloat
    """AdamW's step size."""
    weight_decay: NonNegativeFloat
    """AdamW's weight decay, of all parameters."""
