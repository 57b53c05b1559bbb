"""Feed-forward layers: each activation by its equation, unknown ones refused."""

import pytest
import torch
from parity import moved
from research_models import FeedForward, parameter_count
from torch.nn import functional

ACTIVATIONS = {
    "relu": lambda x: x.clamp(min=0),
    "gelu": lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2,
    "gelu_tanh": lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "silu": lambda x: x * torch.sigmoid(x),
}
GATES = {"reglu": "relu", "geglu": "gelu", "geglu_tanh": "gelu_tanh", "swiglu": "silu"}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *GATES])
def test_it_computes_the_paper_s_equation(activation, bias):
    torch.manual_seed(0)
    model = moved(FeedForward(6, 10, activation, bias))
    x = torch.randn(4, 5, 6)
    h = functional.linear(x, model.input.weight, model.input.bias)
    if activation in GATES:
        h = ACTIVATIONS[GATES[activation]](h[..., :10]) * h[..., 10:]
    else:
        h = ACTIVATIONS[activation](h)
    expected = functional.linear(h, model.output.weight, model.output.bias)
    torch.testing.assert_close(model(x), expected, atol=1e-6, rtol=1e-5)
    hidden = 20 if activation in GATES else 10
    count = 6 * hidden + 10 * 6 + bias * (hidden + 6)
    assert parameter_count(model) == count


def test_hidden_units_are_four_times_the_width_by_default():
    assert FeedForward(6).output.in_features == 24


@pytest.mark.parametrize(
    ("name", "nearest"), [("gelu_new", "gelu_tanh"), ("SwiGLU", "swiglu"), ("silo", "silu")]
)
def test_an_unknown_activation_names_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"{name}.*did you mean '{nearest}'"):
        FeedForward(6, activation=name)


def test_an_activation_near_to_none_names_all():
    with pytest.raises(ValueError, match=r"relu, gelu, gelu_tanh, silu, reglu.*'xyz'"):
        FeedForward(6, activation="xyz")
