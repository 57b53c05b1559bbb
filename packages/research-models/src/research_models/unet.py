"""The U-Net of denoising diffusion models."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import silu

from research_models.initialisation import glorot


class UNet(nn.Module):
    """The U-Net of DDPM (Ho et al., arXiv 2006.11239, appendix B), which predicts the noise.

    By default the model of CIFAR-10, 35,746,307 parameters: four levels from 32x32 to 4x4, each
    with two residual blocks on the way down and three on the way up; self-attention after each
    block at 16x16, and between two blocks in the middle. On the way up each block also reads a
    result of the way down of its own height. An embedding of the diffusion step is added in every
    block. The model of LSUN and CelebA-HQ, 114 million parameters, is
    `UNet(256, multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0)`.

    size: height and width of the images.
    image_channels: channels of the images, and of the noise.
    width: channels of the first level.
    multipliers: channels of each level, as multiples of width; each level has half the height and
        width of the one before.
    blocks: residual blocks of a level on the way down; one more on the way up.
    attention_at: heights of the levels with attention.
    dropout: in each block; 0.1 for CIFAR-10 in the paper, 0 elsewhere.
    groups: of each group normalisation; the channels of every level are a multiple of it.

    Initialisation: Glorot's, uniform, biases 0, as in the authors' code (hojonathanho/diffusion).
    The last layer of each residual block, of each attention and of the model begin at 0, where
    that code draws them with 1e-10 of the variance; so a new model gives 0.
    Departs from that code in nothing else.
    """

    def __init__(
        self,
        size: int = 32,
        image_channels: int = 3,
        width: int = 128,
        multipliers: Sequence[int] = (1, 2, 2, 2),
        blocks: int = 2,
        attention_at: Sequence[int] = (16,),
        dropout: float = 0.1,
        groups: int = 32,
    ):
        super().__init__()
        heights = [size // 2**level for level in range(len(multipliers))]
        if not multipliers or size % 2 ** (len(multipliers) - 1):
            raise ValueError(
                f"a size of {size} can't be halved between each two of {len(multipliers)} levels"
            )
        if width < 4 or width % 2:
            raise ValueError(f"width must be even, 4 or more, got {width}")
        widths = [width * multiplier for multiplier in multipliers]
        if any(each < 1 or each % groups for each in widths):
            raise ValueError(
                f"the channels of every level must be a multiple of {groups} groups, got {widths}"
            )
        if unknown := set(attention_at) - set(heights):
            raise ValueError(f"no level has a height of {sorted(unknown)}: they are {heights}")
        self.size = size
        self.width = width
        time = 4 * width

        def block(inputs: int, outputs: int, height: int) -> ResidualBlock:
            attention = height in attention_at
            return ResidualBlock(inputs, outputs, time, dropout, groups, attention)

        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))
        self.first = nn.Conv2d(image_channels, width, 3, padding=1)
        skips = [width]  # channels of each result that the way up reads
        self.down = nn.ModuleList()
        for height, outputs in zip(heights, widths, strict=True):
            if height != size:
                self.down.append(Downsample(skips[-1]))
                skips.append(skips[-1])
            for _ in range(blocks):
                self.down.append(block(skips[-1], outputs, height))
                skips.append(outputs)
        channels = skips[-1]
        self.middle = nn.ModuleList(
            ResidualBlock(channels, channels, time, dropout, groups, attention)
            for attention in (True, False)
        )
        self.up = nn.ModuleList()
        for height, outputs in zip(heights[::-1], widths[::-1], strict=True):
            if height != heights[-1]:
                self.up.append(Upsample(channels))
            for _ in range(blocks + 1):
                self.up.append(block(channels + skips.pop(), outputs, height))
                channels = outputs
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.last = nn.Conv2d(channels, image_channels, 3, padding=1)
        glorot(self)
        for module in self.modules():
            if isinstance(module, ResidualBlock | Attention | UNet):
                nn.init.zeros_(module.last.weight)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        """x: (batch, image_channels, size, size), noised. step: (batch,), t of each, integers.

        Returns the shape of x: the noise in it.
        """
        if x.shape[-2:] != (self.size, self.size):
            raise ValueError(
                f"the model reads images of {self.size}x{self.size}, got the shape {tuple(x.shape)}"
            )
        if step.shape != x.shape[:1]:
            raise ValueError(
                f"step needs a number for each of {len(x)} images, got the shape "
                f"{tuple(step.shape)}"
            )
        time = self.time(sinusoidal(step, self.width).to(x.dtype))
        x = self.first(x)
        skips = [x]
        for layer in self.down:
            x = layer(x, time)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, time)
        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                x = torch.cat([x, skips.pop()], dim=1)
            x = layer(x, time)
        return self.last(silu(self.norm(x)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the time between them, a shortcut; then attention where asked."""

    def __init__(
        self, inputs: int, outputs: int, time: int, dropout: float, groups: int, attention: bool
    ):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(time, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        self.attention = Attention(outputs, groups) if attention else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (batch, inputs, height, width). time: (batch, time). Returns (batch, outputs, ...)."""
        y = self.first(silu(self.norm1(x))) + self.time(silu(time))[:, :, None, None]
        y = self.last(self.dropout(silu(self.norm2(y))))
        return self.attention(self.shortcut(x) + y)


class Attention(nn.Module):
    """Self-attention of one head between all places of an image, added to its input."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.last = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width). Returns the same shape."""
        places = self.norm(x).flatten(2).mT.unsqueeze(1)  # (batch, 1 head, places, channels)
        y = functional.scaled_dot_product_attention(
            self.query(places), self.key(places), self.value(places)
        )
        return x + self.last(y).squeeze(1).mT.view(x.shape)


class Downsample(nn.Module):
    """A 3x3 convolution of stride 2, which halves height and width."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (batch, channels, height, width). time: not used, there as in a ResidualBlock."""
        # The zeros stand below and to the right, where TensorFlow puts them at an even height.
        return self.convolution(functional.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Each place repeated in a square of 2x2, then a 3x3 convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x: (batch, channels, height, width). time: not used, there as in a ResidualBlock."""
        return self.convolution(functional.interpolate(x, scale_factor=2, mode="nearest"))


def sinusoidal(step: Tensor, width: int) -> Tensor:
    """Sines and then cosines of a step at width / 2 frequencies from 1 to 1 / 10,000.

    The Transformer's position embedding (arXiv 1706.03762, section 3.5), as the authors of DDPM
    have it: all sines first, and the last frequency exactly 1 / 10,000.

    step: (batch,). width: even, 4 or more. Returns (batch, width), float32.
    """
    frequencies = torch.arange(width // 2, device=step.device)
    frequencies = torch.exp(-math.log(10_000) / (width // 2 - 1) * frequencies)
    angles = step.float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)
