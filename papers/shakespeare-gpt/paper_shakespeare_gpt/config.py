"""What the character GPT can vary."""

from typing import Annotated

from annotated_types import Ge, Lt
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """One size of the GPT, and its training."""

    layers: PositiveInt
    """Layers of the GPT."""
    heads: PositiveInt
    """Heads of its attention."""
    width: PositiveInt
    """Features of a character, a multiple of heads."""
    context: PositiveInt
    """Characters that it sees at most."""
    dropout: Annotated[float, Ge(0), Lt(1)]
    """Share of features and attention weights set to 0 in training."""
    learning_rate: PositiveFloat
    """AdamW's largest step size."""
    weight_decay: NonNegativeFloat
    """Weight decay of matrices; biases and gains have none."""
    warm_up: NonNegativeInt
    """Steps in which the step size rises; then it falls along a cosine to a tenth."""
    sample: NonNegativeInt
    """Characters of a sample that `evaluate` writes; 0 for none."""
