"""What self-supervised learning can vary."""

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from research_train import TrainConfig


class Config(TrainConfig):
    """Figure 8, with the default projection head."""

    learning_rate: PositiveFloat
    """Adam's step size."""
    temperature: PositiveFloat
    """What similarities are divided by in the InfoNCE loss."""
    largest_shift: NonNegativeInt
    """An augmentation moves a sequence around by 0 to so many points."""
    slope: NonNegativeFloat
    """Standard deviation of its new slope, per point."""
    offset: NonNegativeFloat
    """Standard deviation of its new mean."""
