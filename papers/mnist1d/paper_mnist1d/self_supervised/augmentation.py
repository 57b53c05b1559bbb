"""Two views of a sequence: what SimCLR takes to be the same (section 5.5)."""

import torch
from torch import Tensor

from paper_mnist1d.self_supervised.config import Config


def augment(x: Tensor, config: Config) -> Tensor:
    """Remove mean and linear slope, shift cyclically, then add a random slope and mean.

    x: (batch, length). Returns (batch, length).
    """
    batch, length = x.shape
    place = torch.arange(length, device=x.device)
    time = place - (length - 1) / 2
    slopes = (x * time).sum(1, keepdim=True) / time.square().sum()
    x = x - x.mean(1, keepdim=True) - slopes * time
    shifts = torch.randint(config.largest_shift + 1, (batch, 1), device=x.device)
    x = x.gather(1, (place - shifts) % length)
    slopes = config.slope * torch.randn(batch, 1, device=x.device)
    offsets = config.offset * torch.randn(batch, 1, device=x.device)
    return x + slopes * time + offsets
