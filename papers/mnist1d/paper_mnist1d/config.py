"""What Table 1's experiment can vary."""

from typing import Literal

from pydantic import PositiveFloat
from research_train import TrainConfig


class Config(TrainConfig):
    """One number of Table 1."""

    model: Literal["logistic", "mlp", "cnn", "gru"]
    """Classifier of Table 1."""
    shuffled: bool
    """Whether to shuffle the 40 points, in the same way for every sequence (section 4)."""
    learning_rate: PositiveFloat
    """Adam's step size."""
