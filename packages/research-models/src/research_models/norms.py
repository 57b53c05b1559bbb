"""Normalisation over the features of a token: LayerNorm and RMSNorm."""

from typing import Any, Literal

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
        return rms_norm(x, self.weight, self.eps)

    def extra_repr(self) -> str:
        """What printing a model shows of this part."""
        return f"{self.weight.shape[0]}, eps={self.eps}"


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """weight * x / sqrt(mean of x^2 + eps), the mean over the last dimension.

    x: (..., width). weight: of a shape that fits x's, the last dimension width.
    Returns the shape of x, in the dtype of weight * x. For backward it keeps x and one number a
    row.
    """
    # A compiler fuses the plain form; without a gradient it is quicker to call, as in generation.
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return weight * (at_least_float32(x) * inverse_rms(x, eps)).to(x.dtype)
    return LeanRMSNorm.apply(x, weight, eps)[0]


def inverse_rms(x: Tensor, eps: float) -> Tensor:
    """1 / sqrt(mean of x^2 + eps) over the last dimension, kept as 1: float32 at least."""
    return torch.rsqrt(at_least_float32(x).square().mean(-1, keepdim=True) + eps)


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or as it is where it has more: long sums and FFTs take no less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class LeanRMSNorm(torch.autograd.Function):
    """rms_norm with its derivatives written out: autograd would keep x / rms as well.

    With u = x / rms and g the gradient of weight * u, that of x is
    (weight g - u mean(weight g u)) / rms (arXiv 1910.07467, section 4), and that of weight g u.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """The result, and 1 / rms for the derivatives."""
        scale = inverse_rms(x, eps)
        return weight * (at_least_float32(x) * scale).to(x.dtype), scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep what the derivatives need."""
        x, weight, ctx.eps = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(x, weight, output[1])
        ctx.save_for_forward(x, weight, output[1])

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, _: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradients of x and weight."""
        x, weight, scale = ctx.saved_tensors
        if torch.is_grad_enabled():  # of which a gradient is taken again, through the scale too
            scale = inverse_rms(x, ctx.eps)
        g, unit = at_least_float32(gradient), at_least_float32(x) * scale
        of_weight = of_x = None
        product = g * unit
        if ctx.needs_input_grad[1]:
            of_weight = product.sum_to_size(weight.shape).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            mean = (product * weight).mean(-1, keepdim=True)
            of_x = ((g * weight - unit * mean) * scale).to(x.dtype)
        return of_x, of_weight, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dweight: Tensor | None, _: None) -> tuple[Tensor, None]:
        """The derivative along dx and dweight, for forward-mode differentiation."""
        x, weight, scale = ctx.saved_tensors
        unit = at_least_float32(x) * scale
        made = torch.zeros_like(x)
        if dweight is not None:
            made = made + dweight * unit.to(x.dtype)
        if dx is not None:
            change = scale * (dx - unit * (unit * dx).mean(-1, keepdim=True))
            made = made + weight * change.to(x.dtype)
        return made, None


def make_norm(kind: Norm, width: int, eps: float, bias: bool = True) -> nn.Module:
    """A norm over the last dimension.

    kind: "layer" for torch's LayerNorm (Ba et al., arXiv 1607.06450), "rms" for RMSNorm.
    bias: whether LayerNorm adds one; RMSNorm has none.
    """
    if kind == "layer":
        return nn.LayerNorm(width, eps, bias=bias)
    return RMSNorm(width, eps)
