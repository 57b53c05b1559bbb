"""What can vary: the depth."""

from typing import Annotated

from annotated_types import Ge
from research_train import TrainConfig


class Config(TrainConfig):
    """One row of Table 6."""

    depth: Annotated[int, Ge(8)]
    """Layers, 6 n + 2: 20, 32, 44, 56 or 110 in the paper."""
