"""A plain convolutional network, over sequences or images."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class ConvNet(nn.Module):
    """Strided convolutions, each followed by a nonlinearity, and a linear layer on top.

    input_shape: (channels, length) for sequences, (channels, height, width) for images.
    channels: output channels of each convolution.
    kernel_sizes: kernel size of each convolution.
    outputs: features of the result.
    stride, padding: the same for every convolution.
    activation: applied after every convolution.

    Parameters: channels (input channels * size of the kernel + 1) of each convolution, with the
    kernel's size squared for images; outputs (inputs + 1) of the linear layer. Initialisation:
    torch's for both, weights and biases uniform within 1 / sqrt(numbers that make an output).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        outputs: int,
        stride: int = 2,
        padding: int = 1,
        activation: Callable[[Tensor], Tensor] = torch.relu,
    ):
        super().__init__()
        convolution = {2: nn.Conv1d, 3: nn.Conv2d}.get(len(input_shape))
        if convolution is None:
            raise ValueError(f"input_shape must have 2 or 3 numbers, got {tuple(input_shape)}")
        if len(channels) != len(kernel_sizes):
            raise ValueError(
                f"{len(channels)} channels but {len(kernel_sizes)} kernel sizes: each convolution "
                "needs one of both"
            )
        self.input_shape = tuple(input_shape)
        self.convolutions = nn.ModuleList(
            convolution(inputs, outputs, kernel, stride=stride, padding=padding)
            for (inputs, outputs), kernel in zip(
                pairwise([input_shape[0], *channels]), kernel_sizes, strict=True
            )
        )
        lengths = list(input_shape[1:])
        for kernel in kernel_sizes:
            lengths = [(length + 2 * padding - kernel) // stride + 1 for length in lengths]
        if min(lengths) < 1:
            raise ValueError(f"input_shape {tuple(input_shape)} is too small for the layers")
        self.linear = nn.Linear(
            (channels[-1] if channels else input_shape[0]) * math.prod(lengths), outputs
        )
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, *input_shape); the channel axis may be left out when there is one channel.

        Returns (batch, outputs). Raises ValueError for another shape.
        """
        last = [x, *self.features(x)][-1]
        return self.linear(last.flatten(1))

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each convolution after its nonlinearity, (batch, channels, *lengths).

        x: as for forward.
        """
        x = self.with_channels(x)
        outputs = []
        for convolution in self.convolutions:
            x = self.activation(convolution(x))
            outputs.append(x)
        return outputs

    def with_channels(self, x: Tensor) -> Tensor:
        """x with its channel axis, (batch, *input_shape). x: as for forward."""
        channels, *lengths = self.input_shape
        without = tuple(lengths) if channels == 1 else self.input_shape
        if x.shape[1:] not in (self.input_shape, without):
            expected = ", ".join(map(str, self.input_shape))
            raise ValueError(f"x must have the shape (batch, {expected}), got {tuple(x.shape)}")
        return x.reshape(len(x), *self.input_shape)
