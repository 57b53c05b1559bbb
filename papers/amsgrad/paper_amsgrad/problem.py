"""The online problem (section 5): f_t(x) = 1010 x where t mod 101 = 1, else -10 x, on [-1, 1].

Over 101 steps the functions sum to 10 x: the best fixed point is x = -1.
"""

import torch
from torch import Tensor, nn

SLOPES = torch.tensor([1010.0] + [-10.0] * 100)


class Point(nn.Module):
    """x, which starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.zeros(1))

    def forward(self, slopes: Tensor) -> Tensor:
        """slopes: (batch,). Returns f_t(x), (batch,)."""
        return slopes * self.x
