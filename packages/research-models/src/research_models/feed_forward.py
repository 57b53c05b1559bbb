"""The feed-forward layer of a Transformer: plain, or gated (SwiGLU and its relatives)."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from research_models.choices import one_of

gelu_tanh = partial(functional.gelu, approximate="tanh")

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,  # with the error function, as BERT
    "gelu_tanh": gelu_tanh,  # the approximation by tanh, as GPT-2 ("gelu_new")
    "silu": functional.silu,
}
"""Activations max(0, x), x Phi(x) (arXiv 1606.08415, section 2; both forms), x sigmoid(x)."""

GATED: dict[str, Callable[[Tensor], Tensor]] = {
    "reglu": functional.relu,
    "geglu": functional.gelu,
    "geglu_tanh": gelu_tanh,
    "swiglu": functional.silu,
}
"""The activation of the gate in each variant of arXiv 2002.05202."""

ACTIVATIONS = (*PLAIN, *GATED)


class FeedForward(nn.Module):
    """Two linear layers and an activation, at each token by itself.

        W2 activation(W1 x + b1) + b2                plain (arXiv 1706.03762, equation 2)
        W2 (activation(W x + b) * (V x + c)) + b2    gated (arXiv 2002.05202, equations 5 and 6)

    width: features of a token.
    hidden: hidden units; None for 4 width. Where gated, of each of W and V: the paper takes two
        thirds of the plain layer's, which keeps the number of parameters.
    activation: plain "relu", "gelu", "gelu_tanh", "silu"; gated "reglu", "geglu", "geglu_tanh",
        "swiglu".
    bias: whether the linear layers have one. Llama's have none.

    Parameters: (2 width hidden) + (hidden + width) bias; gated (3 width hidden) + (2 hidden +
    width) bias. W and V are one parameter, W first. Initialisation: torch's for linear layers.
    """

    def __init__(
        self,
        width: int,
        hidden: int | None = None,
        activation: str = "gelu",
        bias: bool = True,
    ):
        super().__init__()
        one_of("activation", activation, ACTIVATIONS)
        hidden = hidden_units(width, hidden)
        self.gated = activation in GATED
        self.activation = (GATED if self.gated else PLAIN)[activation]
        self.input = nn.Linear(width, 2 * hidden if self.gated else hidden, bias)
        self.output = nn.Linear(hidden, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., width). Returns the same shape."""
        h = self.input(x)
        if self.gated:
            gate, value = h.chunk(2, dim=-1)
            return self.output(self.activation(gate) * value)
        return self.output(self.activation(h))


def hidden_units(width: int, hidden: int | None) -> int:
    """The number of hidden units; 4 width for None (arXiv 1706.03762, section 3.3)."""
    return 4 * width if hidden is None else hidden
