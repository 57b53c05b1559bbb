"""Sequence mixers in place of attention: gated convolution (BaseConv), H3, linear attention.

Each is made as `mixer(width, heads)` and called as `mixer(x, mask=None)`:

    x: (batch, length, width), floating point.
    mask: (batch, length) bool, True is a real token; None when all are. Padding may stand on
        either side. It has no weight in any sum, and the results there mean nothing.
    Returns (batch, length, width), dtype of x.

All are causal, and say so by `causal = True`: a token changes no result before it, but for the
rounding of an FFT, which spreads over a whole sequence. Other arguments are bound beforehand:
`functools.partial(BaseConv, kernel_size=256)`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from research_models.attention import head_sizes
from research_models.masks import check_mask
from research_models.norms import at_least_float32

SHORT_KERNEL = 8  # a longer filter is cheaper by FFT than as a sum (benchmarks/mixers.py)


class BaseConv(nn.Module):
    """Gated convolution: (x W + b1) * (h conv x + b2), * by element (Zoology, arXiv 2312.04927).

    The operator of section 4, which stands for gated convolutions such as H3 and Hyena. The filter
    h has a value for each feature and each of kernel_size steps back: 3 in the short convolutions
    of the paper's experiments, the length of the sequences in the long ones, which alternate with
    them. Longer sequences may be fed as well.

    width: features of a token. heads: not used, as there are none; there for the interface.
    implicit: give h by a small network of the position (ImplicitFilter), as the paper's
        experiments do for their long filters, instead of a parameter for each value.

    Parameters: width^2 + width (2 + kernel_size), without implicit. Initialisation: torch's for
    linear layers and convolutions. Departs from the paper in that b1 and b2 are the same at every
    position; from the authors' code in that x is added neither to the result (residuals belong to
    the block) nor within a long convolution.
    """

    causal = True

    def __init__(self, width: int, heads: int = 1, kernel_size: int = 3, implicit: bool = False):
        super().__init__()
        self.projection = nn.Linear(width, width)
        self.convolution = CausalConvolution(width, kernel_size, implicit)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (batch, length, width). mask: (batch, length). Returns (batch, length, width)."""
        return self.projection(x) * self.convolution(without_padding(x, mask))


class CausalConvolution(nn.Module):
    """Each feature convolved with a filter of its own over this step and those before it.

    y[t] = bias + sum over s < kernel_size of filter[s] x[t - s]

    width: features. kernel_size: steps that the filter reaches, this one included.
    implicit: the filter is an ImplicitFilter's; else a parameter, (width, kernel_size), uniform
        within 1 / sqrt(kernel_size), as is the bias.
    """

    def __init__(self, width: int, kernel_size: int, implicit: bool = False):
        super().__init__()
        if kernel_size < 1:
            raise ValueError(f"kernel_size must be positive, got {kernel_size}")
        within = kernel_size**-0.5
        self.filter = (
            ImplicitFilter(width, kernel_size)
            if implicit
            else ExplicitFilter(torch.empty(width, kernel_size).uniform_(-within, within))
        )
        self.bias = nn.Parameter(torch.empty(width).uniform_(-within, within))

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, length, width). Returns the same shape."""
        return causal_convolution(x.mT, self.filter(x.shape[1])).mT + self.bias


class ExplicitFilter(nn.Module):
    """A filter with a parameter for each value.

    values: (width, steps).
    """

    def __init__(self, values: Tensor):
        super().__init__()
        self.values = nn.Parameter(values)

    def forward(self, length: int) -> Tensor:
        """The filter's first values, (width, at most length)."""
        return self.values[:, :length]


class ImplicitFilter(nn.Module):
    """A filter given by a network of the position (Hyena, arXiv 2302.10866, section 3.3).

    filter[s] = exp(-decay s / steps) * network(s / steps). The network's hidden layers have sines
    for activations; it reads the position, and a cosine and sine that go round once in the filter.

    width: features. steps: length of the filter. hidden: units of each of three hidden layers.

    Parameters: hidden (2 hidden + width + 7). Decays are fixed, evenly spaced so that the filters
    fall to 0.01 after 1.5 (first feature) to 0.3 (last) of their length. Initialisation: torch's
    for linear layers; sines of frequency 1, learned and shared by the layers.
    """

    positions: Tensor
    decay: Tensor

    def __init__(self, width: int, steps: int, hidden: int = 16):
        super().__init__()
        time = torch.arange(steps) / steps
        angle = 2 * math.pi * time
        self.register_buffer(
            "positions", torch.stack([time, angle.cos(), -angle.sin()], dim=1), persistent=False
        )
        decay = torch.linspace(-math.log(0.01) / 1.5, -math.log(0.01) / 0.3, width)
        self.register_buffer("decay", decay.unsqueeze(-1), persistent=False)
        self.layers = nn.ModuleList(nn.Linear(size, hidden) for size in (3, hidden, hidden))
        self.frequency = nn.Parameter(torch.ones(hidden))
        self.output = nn.Linear(hidden, width, bias=False)

    def forward(self, length: int) -> Tensor:
        """The filter's first values, (width, at most length)."""
        positions = x = self.positions[:length]
        for layer in self.layers:
            x = torch.sin(self.frequency * layer(x))
        return self.output(x).mT * torch.exp(-self.decay * positions[:, 0])


class H3(nn.Module):
    """Two state-space models and two products (H3, arXiv 2212.14052, section 3, Algorithm 1).

    Per head, with the outer product of keys and values at each step:

        y = q (diagonal SSM of ((shift SSM of k) v^T)),   then a linear layer.

    A shift SSM keeps the last steps as they were, so it is a learned filter of `state` steps; the
    diagonal SSM is one DiagonalSSM a head. Both add their input times a learned factor.

    width: features of a token. heads: they split the width; time and memory grow with
    width^2 / heads. With heads = width all products are by element; Zoology has width / 2 heads.
    state: dimension of each SSM's state; in Zoology the length of the sequences.

    Parameters: 4 width (width + 1) + width (state + 1) + heads (2 state + 2).
    Initialisation: torch's for the linear layers, normal for the shift filter and the factors.
    """

    causal = True

    def __init__(self, width: int, heads: int, state: int = 64):
        super().__init__()
        self.heads, _, _ = head_sizes(width, heads)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.shift = ExplicitFilter(torch.randn(width, state))
        self.shift_skip = nn.Parameter(torch.randn(width))
        self.diagonal = DiagonalSSM(heads, state)
        self.diagonal_skip = nn.Parameter(torch.randn(heads))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (batch, length, width). mask: (batch, length). Returns (batch, length, width)."""
        length = x.shape[1]
        # Features before steps, as convolutions want them: (batch, width, length).
        q = self.query(x).mT
        k, v = (without_padding(layer(x), mask).mT for layer in (self.key, self.value))
        k = causal_convolution(k, self.shift(length)) + self.shift_skip.unsqueeze(-1) * k
        q, k, v = (part.unflatten(1, (self.heads, -1)) for part in (q, k, v))
        # (batch, heads, head width of k, head width of v, length)
        products = k.unsqueeze(3) * v.unsqueeze(2)
        memory = causal_convolution(products, self.diagonal(length)[:, None, None])
        memory = memory + self.diagonal_skip[:, None, None, None] * products
        y = (q.unsqueeze(3) * memory).sum(2)
        return self.output(y.flatten(1, 2).mT)


class DiagonalSSM(nn.Module):
    """The filters of linear state-space models with a diagonal matrix (S4D, arXiv 2206.11893).

    The model s' = A s + B u, y = 2 Re(C s) with B = 1, held constant over steps of size dt, is the
    convolution with filter[t] = 2 Re(sum over n of C_n (exp(dt A_n) - 1) / A_n exp(t dt A_n)).

    channels: number of models. state: real dimension of the state; state / 2 complex ones, each
    with its conjugate.

    Parameters: channels (2 state + 1). Initialisation: A = -1/2 + i pi n ("S4D-Lin"), C normal,
    dt log-uniform from 0.001 to 0.1.
    """

    def __init__(self, channels: int, state: int):
        super().__init__()
        if state < 2 or state % 2:
            raise ValueError(f"state must be even and positive, got {state}")
        half = state // 2
        self.log_decay = nn.Parameter(torch.full((channels, half), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(half)).repeat(channels, 1))
        self.readout = nn.Parameter(torch.randn(channels, half, 2) * 0.5**0.5)
        self.log_step = nn.Parameter(torch.empty(channels).uniform_(math.log(0.001), math.log(0.1)))

    def forward(self, length: int) -> Tensor:
        """The filters' first values, (channels, length), from channels * state * length numbers."""
        a = torch.complex(-at_least_float32(self.log_decay).exp(), at_least_float32(self.frequency))
        step = at_least_float32(self.log_step).exp().unsqueeze(-1) * a
        readout = torch.view_as_complex(at_least_float32(self.readout)) * torch.expm1(step) / a
        times = torch.arange(length, device=a.device)
        powers = torch.exp(step.unsqueeze(-1) * times)
        return 2 * torch.einsum("cn,cnt->ct", readout, powers).real


def elu_plus_one(x: Tensor) -> Tensor:
    """elu(x) + 1, by element: equation 7 of arXiv 2006.16236."""
    return functional.elu(x) + 1


def taylor_exp(x: Tensor) -> Tensor:
    """Features whose products are 1 + z + z^2 / 2, z = q . k / sqrt(d) (arXiv 2402.18668).

    x: (..., d). Returns (..., 1 + d + d (d + 1) / 2). The paper's map has all d^2 products of
    two; here those of a pair count once, times sqrt(2), which gives the same weights.
    """
    d = x.shape[-1]
    x = x * d**-0.25
    row, column = torch.triu_indices(d, d, device=x.device)
    factor = x.new_ones(len(row)).masked_fill(row == column, 0.5**0.5)
    pairs = x[..., row] * x[..., column] * factor
    return torch.cat([torch.ones_like(x[..., :1]), x, pairs], dim=-1)


class LinearAttention(nn.Module):
    """Causal attention whose weights are products of features (Katharopoulos, arXiv 2006.16236).

    With a feature map f, equation 9 of the paper:

        y[t] = sum over s <= t of f(q[t]) . f(k[s]) v[s] / sum over s <= t of f(q[t]) . f(k[s])

    The sums are carried from chunk to chunk, so that time and memory grow with the length and not
    with its square; within a chunk the weights are a masked matrix. Sums are float32 at least.

    width: features of a token. heads: they split the width.
    feature_map: f, from (..., head) to (..., features): `elu_plus_one` (the paper's) or
        `taylor_exp` (of Based, arXiv 2402.18668). Its values must give positive weights.
    head_width: features of a head's queries and keys; None for width / heads. Based has 16.
    bias: whether the four linear layers have one; Based has none.
    chunk: tokens of a chunk. It changes speed and memory, not the result.

    Parameters: 2 (width + bias) heads head_width + 2 width (width + bias). Initialisation: torch's
    for linear layers.
    """

    causal = True

    def __init__(
        self,
        width: int,
        heads: int,
        feature_map: Callable[[Tensor], Tensor] = elu_plus_one,
        head_width: int | None = None,
        bias: bool = True,
        chunk: int = 64,
    ):
        super().__init__()
        self.heads, _, _ = head_sizes(width, heads)  # which split the values
        keys = heads * head_sizes(width, heads, head_width=head_width)[2]
        if chunk < 1:
            raise ValueError(f"chunk must be 1 or more, got {chunk}")
        self.query = nn.Linear(width, keys, bias)
        self.key = nn.Linear(width, keys, bias)
        self.value = nn.Linear(width, width, bias)
        self.output = nn.Linear(width, width, bias)
        self.feature_map = feature_map
        self.chunk = chunk

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x: (batch, length, width). mask: (batch, length). Returns (batch, length, width)."""
        check_mask(mask, x)
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        q, k = self.feature_map(q), self.feature_map(k)
        if mask is not None:  # a key of zeros has no weight
            k = k.masked_fill(~mask[:, None, :, None], 0.0)
        y = causal_linear_attention(q, k, v, self.chunk)
        return self.output(y.transpose(1, 2).flatten(2))


def causal_linear_attention(q: Tensor, k: Tensor, v: Tensor, chunk: int = 64) -> Tensor:
    """Average the values so far with the weights q . k, in chunks.

    q, k: (batch, heads, length, features). v: (batch, heads, length, head width).
    Returns the shape and dtype of v; 0 where all weights are 0.
    """
    length = v.shape[2]
    chunk = min(chunk, length)
    # A column of ones sums the weights along with the values.
    v_and_one = functional.pad(v, (0, 1), value=1.0)
    q, k, v_and_one = (
        functional.pad(at_least_float32(part), (0, 0, 0, -length % chunk)).unflatten(2, (-1, chunk))
        for part in (q, k, v_and_one)
    )
    sums = (q @ k.mT).tril() @ v_and_one
    if q.shape[2] > 1:
        of_chunk = k.mT @ v_and_one  # (batch, heads, chunks, features, head width + 1)
        before = functional.pad(of_chunk.cumsum(2)[:, :, :-1], (0, 0, 0, 0, 1, 0))
        sums = sums + q @ before
    values, weights = sums.flatten(2, 3)[:, :, :length].split([v.shape[-1], 1], dim=-1)
    return (values / weights.masked_fill(weights == 0, 1.0)).to(v.dtype)


def causal_convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """y[t] = sum over s of kernel[s] x[t - s], x being 0 before its first step.

    x: (batch, ..., length). kernel: (..., at most length), of a shape that fits x's without the
    batch. Returns the shape and dtype of x; computed in float32 at least.
    """
    length, steps = x.shape[-1], kernel.shape[-1]
    dtype = x.dtype
    x, kernel = at_least_float32(x), at_least_float32(kernel)
    if steps <= SHORT_KERNEL and x.ndim == 3:
        padded = functional.pad(x, (steps - 1, 0))
        weight = kernel.flip(-1).unsqueeze(1)
        return functional.conv1d(padded, weight, groups=len(kernel)).to(dtype)
    size = length + steps - 1  # no shorter, or the end would wrap around to the beginning
    size += size % 2
    product = torch.fft.rfft(x, size) * torch.fft.rfft(kernel, size)
    return torch.fft.irfft(product, size)[..., :length].to(dtype)


def without_padding(x: Tensor, mask: Tensor | None) -> Tensor:
    """x with zeros at padding. x: (batch, length, width). mask: (batch, length) or None."""
    check_mask(mask, x)
    return x if mask is None else x.masked_fill(~mask.unsqueeze(-1), 0.0)
