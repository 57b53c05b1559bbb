"""SimCLR's network, augmentation, loss and probe."""

import math

import pytest
import torch
from paper_mnist1d.self_supervised.augmentation import augment
from paper_mnist1d.self_supervised.model import SimCLR, info_nce
from research_train import load_config
from torch.nn.functional import cosine_similarity


@pytest.fixture
def config(member):
    return load_config(member.experiment("self-supervised"))


def test_the_network_has_the_parameters_of_the_paper_and_its_layers():
    model = SimCLR()
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_716
    x = torch.randn(3, 40)
    layers = model.layers(x)
    assert [layer.shape[1] for layer in layers] == [40, 475, 250, 125, 125, 16]
    assert torch.equal(layers[0], x)
    assert torch.equal(layers[5], model(x))
    assert torch.equal(layers[4], torch.relu(model.encoder.linear(layers[3])))


def test_a_view_without_its_slope_and_mean_is_the_sequence_moved_around(config):
    still = config.model_copy(update={"slope": 0.0, "offset": 0.0})
    x = torch.randn(200, 40)
    unmoved = augment(x, still.model_copy(update={"largest_shift": 0}))
    assert unmoved.mean(1).abs().max() < 1e-6
    assert (unmoved @ torch.arange(40.0)).abs().max() < 1e-2
    moved = augment(x, still)
    shifts = [
        next(shift for shift in range(40) if torch.allclose(before.roll(shift), after))
        for before, after in zip(unmoved, moved, strict=True)
    ]
    assert set(shifts) == set(range(10))


def test_a_views_slope_and_mean_are_of_the_size_that_the_config_says(config):
    time = torch.arange(40) - 19.5
    views = augment(torch.randn(4000, 40), config.model_copy(update={"largest_shift": 0}))
    assert abs(views.mean(1).std() - 0.3) < 0.02
    assert abs((views @ time / time.square().sum()).std() - 0.04) < 0.003


def test_the_loss_is_that_of_the_definition():
    a, b = torch.randn(5, 16), torch.randn(5, 16)
    total = 0.0
    for i in range(5):
        scores = [math.exp(cosine_similarity(a[i], b[j], dim=0) / 0.5) for j in range(5)]
        total -= math.log(scores[i] / sum(scores))
    assert info_nce(a, b, 0.5).item() == pytest.approx(total / 5, rel=1e-5)


def test_it_trains_and_evaluates_and_a_resumed_run_is_the_same(trained, resumed, weights):
    whole = trained("self-supervised", "steps=30")
    # The authors print 0.328; the solver stops at another of the last bits on another processor.
    assert whole.record.metrics["probe/layer0"] == pytest.approx(0.328, abs=0.003)
    in_two = resumed("self-supervised", 12, 30)
    assert weights(in_two) == weights(whole)
    assert in_two.record.metrics == whole.record.metrics
