"""What Table 1's experiment can vary."""

from typing import Literal

from pydantic import PositiveFloat
from research_train import TrainConfig


class Config(TrainConfig):
    """One row of Table 1."""

    model: Literal["logistic", "mlp", "cnn", "gru"]
    """Row of Table 1."""
    learning_rate: PositiveFloat
    """Adam's step size (section 2.3)."""
