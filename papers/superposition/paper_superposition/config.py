"""What toy models can vary."""

from typing import Annotated

from annotated_types import Gt, Le, Len
from pydantic import PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """Toy models of one size, one for each importance and density."""

    features: PositiveInt
    """n, features of an input."""
    hidden: PositiveInt
    """m, dimensions that the model has for them."""
    relu: bool
    """Whether the output goes through a ReLU; without it the model is linear."""
    densities: Annotated[list[Annotated[float, Gt(0), Le(1)]], Len(1)]
    """1 - S, probabilities that a feature isn't 0."""
    importances: Annotated[list[PositiveFloat], Len(1)]
    """Weights of a feature in the loss, relative to that of the feature before it."""
    learning_rate: PositiveFloat
    """AdamW's step size."""
