"""What double descent can vary."""

from typing import Annotated

from annotated_types import Ge, Lt
from pydantic import PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """One point of Figure 5."""

    width: PositiveInt
    """Units of each of the two hidden layers."""
    learning_rate: PositiveFloat
    """Step size of SGD."""
    momentum: Annotated[float, Ge(0), Lt(1)]
    """Momentum of SGD."""
