"""What the online example can vary."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat
from research_train import TrainConfig

Beta = Annotated[float, Field(ge=0, lt=1)]


class Config(TrainConfig):
    """One optimizer on the online example."""

    optimizer: Literal["adam", "amsgrad"]
    """Algorithm of the paper: Adam, or AMSGrad (Algorithm 2)."""
    step_size: PositiveFloat
    """alpha: the step size at time t is alpha / sqrt(t)."""
    beta1: Beta
    """Decay of the average of gradients."""
    beta2: Beta
    """Decay of the average of squared gradients."""
