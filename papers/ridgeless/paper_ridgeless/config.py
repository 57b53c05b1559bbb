"""What the linear model can vary."""

from pydantic import PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """One aspect ratio. `steps` counts the draws over which the risk is averaged."""

    samples: PositiveInt
    """n, samples of a draw."""
    features: PositiveInt
    """p, features of a sample: the aspect ratio is p / n."""
    signal: PositiveFloat
    """r^2, squared norm of the coefficients."""
    noise: PositiveFloat
    """sigma^2, variance of the noise."""
