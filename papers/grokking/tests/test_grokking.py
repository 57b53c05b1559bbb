"""The network, the frequencies of an embedding, and a short training."""

import math

import pytest
import torch
from paper_grokking.data import equations
from paper_grokking.model import OneLayerTransformer
from paper_grokking.progress import frequencies
from research_models import parameter_count
from research_train import (
    evaluate_run,
    find_member,
    installed_members,
    load_config,
    new_run,
    train_run,
)


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))


@pytest.fixture
def experiment():
    return find_member("grokking", installed_members()).experiment()


def test_the_network_has_one_layer_that_sees_all_three_tokens():
    model = OneLayerTransformer(97)
    assert parameter_count(model) == 222_720
    logits = model(torch.tensor([[1, 2, 97], [1, 3, 97], [2, 1, 97]]))
    assert logits.shape == (3, 98)
    assert not torch.allclose(logits[0], logits[1])  # another b
    assert not torch.allclose(logits[0], logits[2])  # another order


def test_the_split_is_of_all_equations_and_drawn_by_the_seed(experiment):
    (train, _), (test, answers) = equations(load_config(experiment))
    assert (len(train), len(test)) == (2823, 6586)
    assert len(set(map(tuple, torch.cat([train, test]).tolist()))) == 97**2
    assert torch.equal(answers, (test[:, 0] + test[:, 1]) % 97)
    (other, _), _ = equations(load_config(experiment, ["seed=1"]))
    assert not torch.equal(other, train)


def test_an_embedding_of_two_frequencies_is_found_to_have_two():
    angles = torch.arange(97)[:, None] * torch.tensor([5, 5, 14]) * 2 * math.pi / 97
    waves = torch.stack([angles[:, 0].cos(), angles[:, 1].sin(), angles[:, 2].cos()], dim=1)
    shares = frequencies(waves + 3.0)  # a mean is no frequency
    assert shares[5 - 1].item() == pytest.approx(2 / 3)
    assert shares[14 - 1].item() == pytest.approx(1 / 3)


def test_it_learns_the_equations_that_it_sees_before_the_others(experiment):
    words = [
        "modulus=11",
        "train_share=0.4",
        "batch_size=64",
        "steps=120",
        "evaluate_every=20",
        "checkpoint_every=1000",
    ]
    run = new_run(experiment, [*words, "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    found = run.record.metrics
    assert 0 < found["train/steps_to_99"] <= 120
    assert found["test/steps_to_99"] is None
    assert found["test/accuracy"] < 0.9
    assert evaluate_run(run, experiment).metrics == found
