"""What self-supervised learning can vary."""

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from research_train import TrainConfig


class Config(TrainConfig):
    """Figure 8, with the default projection head."""

    learning_rate: PositiveFloat
    """Adam's step size."""
    temperature: PositiveFloat
    """Divisor of the similarities in the InfoNCE loss."""
    largest_shift: NonNegativeInt
    """Largest cyclic shift of a sequence in its augmentation, in points."""
    slope: NonNegativeFloat
    """Standard deviation of the slope that augmentation adds, per point."""
    offset: NonNegativeFloat
    """Standard deviation of the mean that augmentation adds."""
