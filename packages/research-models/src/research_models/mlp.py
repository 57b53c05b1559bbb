"""A multilayer perceptron."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with a nonlinearity between them.

    sizes: features of the input, of each hidden layer and of the output; at least two numbers.
    activation: applied after every layer but the last.
    residual: add the input of a hidden layer to its output, h + activation(W h + b), if both have
        the same size; as in the baseline of Greydanus and Kobak, arXiv 2011.14439.

    Parameters: outputs (inputs + 1) of each layer. Initialisation: torch's for linear layers,
    weights and biases uniform within 1 / sqrt(inputs).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[Tensor], Tensor] = torch.relu,
        residual: bool = False,
    ):
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must be two or more positive numbers, got {list(sizes)}")
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes)
        )
        self.activation = activation
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., sizes[0]). Returns (..., sizes[-1])."""
        *hidden, output = self.layers
        for layer in hidden:
            h = self.activation(layer(x))
            x = x + h if self.residual and x.shape == h.shape else h
        return output(x)
