"""The shape of BERT."""

from pydantic import PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """Section 3, model architecture."""

    layers: PositiveInt
    """Blocks, L in the paper."""
    width: PositiveInt
    """Hidden size, H in the paper."""
    heads: PositiveInt
    """Attention heads, A in the paper."""
    length: PositiveInt
    """Positions that have an embedding."""
    vocabulary: PositiveInt
    """Tokens that have an embedding."""
