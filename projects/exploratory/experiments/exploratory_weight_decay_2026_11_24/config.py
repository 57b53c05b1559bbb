"""What the experiment can vary."""

from typing import Annotated

from annotated_types import Interval
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """A wide MLP on two interleaved spirals with some labels flipped."""

    examples: PositiveInt
    """Training examples; as many again are held out, with clean labels."""
    label_noise: Annotated[float, Interval(ge=0, le=1)]
    """Share of the training labels that is drawn anew."""
    width: PositiveInt
    """Hidden units of each of the two layers."""
    learning_rate: PositiveFloat
    """AdamW's step size."""
    weight_decay: NonNegativeFloat
    """AdamW's decay."""
