from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat
from research_train import ConfigSection, TrainConfig


class Optimizer(ConfigSection):
    learning_rate: PositiveFloat
    """Adam's step size."""
    betas: tuple[float, float]
    """Adam's decay rates."""


class Config(TrainConfig):
    label: str
    """What the evaluation calls it."""
    optimizer: Optimizer
    nan_at: NonNegativeInt
    """Step at which the loss becomes NaN; 0 is never."""
    sleep: NonNegativeFloat
    """Seconds that every step takes longer."""
