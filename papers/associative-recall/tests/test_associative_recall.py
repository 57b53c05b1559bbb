"""Both models, and a short training of each."""

import pytest
import torch
from paper_associative_recall.data import sequences
from paper_associative_recall.model import recall_model
from research_train import (
    evaluate_run,
    find_member,
    installed_members,
    load_config,
    new_run,
    train_run,
)

SMALL = ["vocabulary=32", "length=16", "pairs=2", "width=16"]
FEW = ["train_examples=256", "test_examples=64", "batch_size=32"]


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))


@pytest.fixture
def experiment():
    return find_member("associative-recall", installed_members()).experiment()


def test_every_pair_is_asked_for_once_and_answered_from_the_sequence(experiment):
    (inputs, targets), (tests, _) = sequences(load_config(experiment, [*SMALL, *FEW]))
    assert (len(inputs), len(tests)) == (256, 64)
    asked = targets != -100
    assert (asked.sum(1) == 2).all()
    for row, answers, places in zip(inputs.tolist(), targets.tolist(), asked, strict=True):
        values = dict(zip(row[0:4:2], row[1:4:2], strict=True))
        assert all(answers[place] == values[row[place]] for place in places.nonzero().flatten())


@pytest.mark.parametrize("mixer", ["attention", "convolution"])
def test_a_token_is_predicted_from_all_before_it_and_from_none_after(experiment, mixer):
    config = load_config(experiment, [*SMALL, f"mixer={mixer}"])
    model = recall_model(config).eval()
    tokens = torch.randint(32, (1, 16))
    changed = tokens.clone()
    changed[0, 8] = (changed[0, 8] + 1) % 32
    with torch.no_grad():
        difference = (model(tokens) - model(changed)).abs().amax(2)[0]
    assert difference[:8].max() < 1e-5
    assert difference[[8, 15]].min() > 1e-4  # the last is in reach of the long convolution alone


@pytest.mark.parametrize("mixer", ["attention", "convolution"])
def test_it_trains_and_evaluates(experiment, mixer):
    words = [*SMALL, *FEW, f"mixer={mixer}", "steps=60", "learning_rate=0.01"]
    run = new_run(experiment, [*words, "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    assert run.record.metrics["test/accuracy"] > 1.5 / 32  # chance is 1 of 32
    assert evaluate_run(run, experiment).metrics == run.record.metrics
