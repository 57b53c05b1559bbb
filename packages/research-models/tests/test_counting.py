"""Parameters and operations: counted as the closed forms say."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from research_models import (
    MLP,
    Attention,
    ConvNet,
    LinearAttention,
    RecurrentLanguageModel,
    ResNet,
    Transformer,
    TransformerConfig,
    flops,
    parameter_count,
)
from torch import nn

few = settings(max_examples=25)


def test_a_tied_weight_counts_once_and_a_buffer_not_at_all():
    plain = RecurrentLanguageModel(11, 6)
    tied = RecurrentLanguageModel(11, 6, tied=True)
    assert parameter_count(plain) - parameter_count(tied) == 11 * 6
    assert parameter_count(nn.BatchNorm2d(5)) == 10
    frozen = nn.Linear(3, 4).requires_grad_(False)
    assert parameter_count(frozen) == 16


@few
@given(sizes=st.lists(st.integers(1, 20), min_size=2, max_size=5), batch=st.integers(1, 4))
def test_a_multilayer_perceptron_is_two_operations_a_weight(sizes, batch):
    weights = sum(a * b for a, b in pairwise(sizes))
    model = MLP(sizes)
    assert flops(model, torch.zeros(batch, sizes[0])) == 2 * weights
    assert parameter_count(model) == weights + sum(sizes[1:])


@few
@given(st.data())
def test_a_convolution_is_two_operations_a_weight_and_place(data):
    channels = data.draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))
    kernels = data.draw(st.lists(st.integers(1, 3), min_size=len(channels), max_size=len(channels)))
    size = data.draw(st.integers(20, 30))
    model = ConvNet((2, size, size), channels, kernels, outputs=7)
    expected, inputs = 0, 2
    for outputs, kernel in zip(channels, kernels, strict=True):
        size = (size + 2 - kernel) // 2 + 1
        expected += 2 * inputs * outputs * kernel**2 * size**2
        inputs = outputs
    expected += 2 * inputs * size**2 * 7
    x = torch.zeros(data.draw(st.integers(1, 3)), *model.input_shape)
    assert flops(model, x) == expected


def test_a_residual_network_is_the_sum_over_its_stages():
    """ResNet-20: 40.6 million multiplications and additions in convolutions."""
    first = 3 * 16 * 9 * 32**2
    stages = 16 * 16 * 9 * 32**2 * 6
    for channels, size in ((32, 16), (64, 8)):
        stages += (channels // 2 * channels + 5 * channels**2) * 9 * size**2
    model, x = ResNet.cifar(20), torch.zeros(4, 3, 32, 32)
    assert flops(model, x) == 2 * (first + stages + 64 * 10)
    assert 40.5e6 < flops(model, x) / 2 < 40.9e6


@pytest.mark.parametrize(("depth", "billions"), [(18, 1.8), (34, 3.6), (101, 7.6), (152, 11.3)])
def test_residual_networks_take_what_their_paper_says(depth, billions):
    """Table 1, multiplications and additions as one; the place of the stride adds up to 3 %."""
    with torch.device("meta"):
        count = flops(ResNet.imagenet(depth), torch.zeros(1, 3, 224, 224)) / 2e9
    assert count == pytest.approx(billions, rel=0.04)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("groups", [4, 2, 1])
def test_attention_is_its_layers_and_two_products_of_all_places(groups, masked, causal):
    width, length = 16, 9
    products = 2 * 2 * length**2 * width
    model = Attention(width, 4, groups, causal=causal)
    x = torch.zeros(3, length, width)
    mask = torch.ones(3, length, dtype=torch.bool) if masked else None
    layers = 2 * (2 * width + 2 * groups * width // 4) * width * length
    assert flops(model, x, mask) == layers + products
    theirs = nn.MultiheadAttention(width, 4, batch_first=True).eval()
    assert flops(theirs, x, x, x, need_weights=False) == 8 * width**2 * length + products


@pytest.mark.parametrize("masked", [False, True])
def test_a_transformer_is_its_layers_and_its_head(masked):
    """Llama's kind: two key-value heads of four, gated feed-forward layers."""
    width, length, hidden = 16, 9, 20
    config = TransformerConfig(
        *(31, width, 3, 4),
        key_value_heads=2,
        hidden=hidden,
        norm="rms",
        activation="swiglu",
        positions="rotary",
    )
    attention = 2 * 3 * width**2 * length + 2 * 2 * length**2 * width
    feed_forward = 2 * 3 * width * hidden * length
    tokens = torch.zeros(2, length, dtype=torch.long)
    mask = torch.ones(2, length, dtype=torch.bool) if masked else None
    expected = 3 * (attention + feed_forward) + 2 * width * 31 * length
    assert flops(Transformer(config), tokens, mask) == expected


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4)])
def test_recurrent_layers_are_counted_at_every_step(cell, gates):
    model = RecurrentLanguageModel(11, 6, embedding=5, cell=cell)
    tokens = torch.zeros(2, 9, dtype=torch.long)
    assert flops(model, tokens) == 2 * 9 * (gates * 6 * (5 + 6) + 6 * 11)


def test_linear_attention_grows_with_the_length_and_attention_with_its_square():
    x = torch.zeros(1, 1024, 16)
    linear, square = LinearAttention(16, 1, chunk=64), Attention(16, 1)
    assert flops(linear, x) == 2 * flops(linear, x[:, :512])
    assert flops(square, x) > 3 * flops(square, x[:, :512])


@pytest.mark.parametrize("training", [False, True])
def test_counting_changes_nothing(training):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train(training)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random = torch.get_rng_state()
    assert flops(model, torch.ones(2, 3, 5, 5)) == 2 * 3 * 4 * 9 * 9
    assert model.training == training
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name])
    model(torch.ones(2, 3, 5, 5))  # still on its device


@pytest.mark.parametrize(
    ("inputs", "facts"),
    [((), "no tensor"), ((torch.tensor(1.0),), r"\(\)"), ((torch.zeros(0, 3),), r"\(0, 3\)")],
)
def test_inputs_without_an_example_are_refused(inputs, facts):
    with pytest.raises(ValueError, match=facts):
        flops(MLP([3, 2]), *inputs)
