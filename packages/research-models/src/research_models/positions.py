"""Positions of tokens: sinusoidal, rotary, and those of padded batches."""

from typing import Literal

import torch
from torch import Tensor

Positions = Literal["learned", "sinusoidal", "rotary", "none"]
Rotation = tuple[Tensor, Tensor]
"""Cosines and sines of the angles, each (..., length, head width / 2)."""


def sinusoidal(positions: Tensor, width: int, base: float = 10_000.0) -> Tensor:
    """The encoding of Vaswani et al., arXiv 1706.03762, section 3.5.

    Feature 2i is sin(position / base^(2i / width)), feature 2i + 1 the cosine of the same angle.

    positions: (..., length), integers. width: even. Returns (..., length, width), float32.
    """
    angle = angles(positions, width, base)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def rotation(positions: Tensor, head_width: int, base: float = 10_000.0) -> Rotation:
    """By which angles `rotate` turns queries and keys (RoFormer, arXiv 2104.09864, section 3.2).

    positions: (..., length), integers. head_width: even.
    Returns cosines and sines, (..., length, head_width / 2), in float32: bfloat16 has 8 bits, so
    that neighbouring positions beyond 256 would be the same.
    """
    angle = angles(positions, head_width, base)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turn each pair of features by its angle (equation 34 of arXiv 2104.09864).

    Pairs are feature i and i + head width / 2, as in transformers' files; the paper and Meta's own
    files pair features 2i and 2i + 1, which is the same up to the order of the features.

    x: (..., length, head width). Returns the same shape and dtype.
    """
    cos, sin = (each.to(x.dtype) for each in by)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def angles(positions: Tensor, width: int, base: float) -> Tensor:
    """position / base^(2i / width) for i < width / 2: (..., length, width / 2), float32.

    Computed anew in each pass, so that no buffer follows the dtype or device of a model.
    """
    if width % 2:
        raise ValueError(f"positions by sines and cosines need an even width, got {width}")
    exponents = torch.arange(0, width, 2, device=positions.device).float() / width
    return positions.unsqueeze(-1).float() * (1.0 / base**exponents)


def real_positions(mask: Tensor) -> Tensor:
    """The position of each token among the real ones of its row; at padding that of the one before.

    mask: (batch, length) bool, True is a real token. Returns the same shape, integers from 0.
    """
    return (mask.cumsum(-1) - 1).clamp(min=0)
