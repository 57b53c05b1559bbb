from typing import Literal

from research_train import TrainConfig


class Config(TrainConfig):
    source: Literal["memory", "workers"]
    """Batches from memory, or from a DataLoader with worker processes that add noise."""
    fused: bool
    """Use the optimizer's fused kernels."""
