"""Architectures: shapes, parameter counts, and what they compute."""

import re

import pytest
import torch
from research_models import MLP, ConvNet, parameter_count
from torch import nn


def test_mlp_is_linear_layers_with_a_nonlinearity_between():
    torch.manual_seed(0)
    model = MLP([3, 5, 4, 2], activation=torch.tanh)
    torch.manual_seed(0)
    layers = [nn.Linear(3, 5), nn.Linear(5, 4), nn.Linear(4, 2)]
    x = torch.randn(7, 6, 3)
    expected = layers[2](torch.tanh(layers[1](torch.tanh(layers[0](x)))))
    assert torch.equal(model(x), expected)


def test_residual_layers_add_their_input_where_sizes_agree():
    model = MLP([3, 5, 5, 2], residual=True)
    first, second, last = model.layers
    x = torch.randn(7, 3)
    h = torch.relu(first(x))
    assert torch.equal(model(x), last(h + torch.relu(second(h))))


def test_convnet_over_sequences_is_the_layers_in_order():
    torch.manual_seed(0)
    model = ConvNet((1, 40), [25, 25, 25], [5, 3, 3], outputs=10)
    assert parameter_count(model) == 5210  # MNIST-1D, Table 1
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv1d(1, 25, 5, 2, 1),
        nn.ReLU(),
        nn.Conv1d(25, 25, 3, 2, 1),
        nn.ReLU(),
        nn.Conv1d(25, 25, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(125, 10),
    )
    x = torch.randn(6, 1, 40)
    assert torch.equal(model(x), plain(x))
    assert torch.equal(model(x.squeeze(1)), plain(x))


def test_features_are_what_the_layers_give_one_after_the_other():
    model = ConvNet((1, 40), [3, 4], [5, 3], outputs=10)
    first, second = model.convolutions
    x = torch.randn(6, 40)
    h = torch.relu(first(x.unsqueeze(1)))
    assert torch.equal(model.features(x)[0], h)
    assert torch.equal(model.features(x)[1], torch.relu(second(h)))


def test_a_convnet_may_have_no_convolution():
    model = ConvNet((2, 3), [], [], outputs=4)
    x = torch.randn(5, 2, 3)
    assert torch.equal(model(x), model.linear(x.flatten(1)))


@pytest.mark.parametrize("size", [(28, 28), (32, 20)])
def test_convnet_over_images(size):
    model = ConvNet((3, *size), [8, 16], [3, 5], outputs=7, stride=2, padding=2)
    assert model(torch.randn(4, 3, *size)).shape == (4, 7)


@pytest.mark.parametrize(
    ("input_shape", "given"),
    [
        ((1, 40), (8, 80)),
        ((1, 40), (8, 2, 40)),
        ((1, 40), (40,)),
        ((3, 40), (8, 40, 3)),
        ((3, 40), (8, 120)),
        ((3, 40), (8, 40)),
        ((1, 28, 28), (8, 784)),
        ((1, 28, 28), (28, 28)),
    ],
)
def test_a_convnet_takes_no_other_shape_than_its_own(input_shape, given):
    """Of as many numbers it could make other examples."""
    model = ConvNet(input_shape, [4], [3], outputs=10)
    expected = ", ".join(map(str, input_shape))
    with pytest.raises(ValueError, match=rf"\(batch, {expected}\), got {re.escape(str(given))}"):
        model(torch.zeros(given))


def test_an_image_of_one_channel_needs_no_channel_axis():
    model = ConvNet((1, 12, 10), [4], [3], outputs=7)
    x = torch.randn(5, 12, 10)
    assert torch.equal(model(x), model(x.unsqueeze(1)))
    assert model(x[:0]).shape == (0, 7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MLP([3]), "two or more"),
        (lambda: MLP([3, 0]), "positive"),
        (lambda: ConvNet((3,), [1], [1], 1), "2 or 3 numbers"),
        (lambda: ConvNet((1, 9), [1, 2], [3], 1), "2 channels.*1 kernel sizes"),
        (lambda: ConvNet((1, 2), [1, 1], [5, 5], 1), "too small"),
    ],
)
def test_wrong_sizes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
