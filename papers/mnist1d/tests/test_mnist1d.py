"""The paper's data, models and a short training."""

import json

import pytest
import torch
from paper_mnist1d.data import MNIST1D, SHUFFLED_ORDER, load_mnist1d
from paper_mnist1d.models import MODELS
from research_data import load_arrays, make_dataset
from research_train import new_run

FIRST_TARGETS = [2, 6, 4, 5, 6, 6, 6, 0, 3, 1]
FIRST_SHUFFLED = [19, 16, 15, 26, 4, 12]
FIRST_INPUTS = [-0.33200568, -0.47191036, -0.77869707, -1.00974083]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("logistic", 410), ("mlp", 15_210), ("cnn", 5_210), ("gru", 5_134)],
)
def test_models_have_the_parameters_of_table_1(name, parameters):
    model = MODELS[name]()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert model(torch.zeros(3, 40)).shape == (3, 10)


def test_the_data_is_the_authors_own():
    """4,000 and 1,000 sequences, standardised, 500 a class, with the values of seed 42."""
    data = load_mnist1d(make_dataset(MNIST1D))
    assert data.train.inputs.shape == (4000, 40)
    assert data.test.inputs.shape == (1000, 40)
    inputs = torch.cat([data.train.inputs, data.test.inputs]).double()
    assert abs(inputs.mean()) < 1e-6
    assert abs(inputs.std() - 1) < 1e-5
    # Its first values: another seed or another noise has the same shape and sums.
    assert data.train.targets[:10].tolist() == FIRST_TARGETS
    assert torch.allclose(data.train.inputs[0, :4], torch.tensor(FIRST_INPUTS), atol=1e-6)
    assert torch.bincount(torch.cat([data.train.targets, data.test.targets])).tolist() == [500] * 10


def test_the_data_is_the_same_every_time(tmp_path, monkeypatch):
    first = load_arrays(make_dataset(MNIST1D))
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "again"))
    second = load_arrays(make_dataset(MNIST1D))
    assert all((first[name] == second[name]).all() for name in first)


def test_shuffling_moves_the_points_of_all_sequences_alike_and_always_so():
    """By the order that the authors' notebook draws."""
    assert SHUFFLED_ORDER.sort().values.tolist() == list(range(40))
    assert SHUFFLED_ORDER[:6].tolist() == FIRST_SHUFFLED
    plain = load_mnist1d(make_dataset(MNIST1D))
    shuffled = load_mnist1d(make_dataset(MNIST1D), shuffled=True)
    for split, other in zip(plain, shuffled, strict=True):
        assert torch.equal(other.inputs, split.inputs[:, SHUFFLED_ORDER])
        assert torch.equal(other.targets, split.targets)


@pytest.mark.parametrize(
    ("model", "shuffled"), [*((name, "false") for name in MODELS), ("cnn", "true")]
)
def test_the_classifiers_of_table_1_train_and_evaluate(trained, model, shuffled):
    run = trained("mnist1d", f"model={model}", f"shuffled={shuffled}", "steps=40")
    assert run.record.metrics["test/accuracy"] > 0.12  # chance is 0.1
    assert json.loads((run.folder / "evaluation.json").read_text())["metrics"] == run.record.metrics


def test_the_default_config_is_the_papers_protocol(member):
    config = new_run(member.experiment()).config
    assert (config.model, config.shuffled, config.learning_rate) == ("cnn", False, 0.01)
    assert (config.batch_size, config.steps, config.evaluate_every) == (100, 6000, 250)
