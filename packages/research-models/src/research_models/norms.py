"""Normalisation over the features of a token: LayerNorm and RMSNorm."""

from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["layer", "rms"]


class RMSNorm(nn.Module):
    """x / sqrt(mean of x^2 + eps) * weight (Zhang and Sennrich, arXiv 1910.07467, equation 4).

    Normalised in float32 and cast to the dtype of x before the gain multiplies it, as Llama does;
    torch's `nn.RMSNorm` multiplies before the cast, which differs in bfloat16.

    width: features of a token. eps: added to the mean of squares.

    Parameters: weight (width,), initially 1.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., width). Returns the same shape."""
        return self.weight * unit_rms(x, self.eps)

    def extra_repr(self) -> str:
        """What printing a model shows of this part."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def unit_rms(x: Tensor, eps: float) -> Tensor:
    """x over the root of its mean square, over the last dimension: computed in float32 at least.

    x: (..., width). Returns the shape and dtype of x.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)).to(x.dtype)


def make_norm(kind: Norm, width: int, eps: float, bias: bool = True) -> nn.Module:
    """A norm over the last dimension.

    kind: "layer" for torch's LayerNorm (Ba et al., arXiv 1607.06450), "rms" for RMSNorm.
    bias: whether LayerNorm adds one; RMSNorm has none.
    """
    if kind == "layer":
        return nn.LayerNorm(width, eps, bias=bias)
    return RMSNorm(width, eps)
