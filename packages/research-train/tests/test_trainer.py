"""The loop."""

import signal
import threading

import pytest
import torch
from research_data import Batches
from research_train import Interrupted, RunError, Trainer, classification_loss, new_run
from torch import nn
from torch.nn.functional import cross_entropy


@pytest.fixture
def run(experiment):
    run = new_run(experiment, ["steps=25"])
    run.quiet = True
    return run


def points():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(30, 4, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


def test_the_weights_are_those_of_a_bare_loop(run):
    data = points()
    with run.attempt():
        model = nn.Linear(4, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        Trainer(run, model, optimizer, classification_loss).fit(Batches(data, 8))
    torch.manual_seed(run.config.seed)
    bare = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(bare.parameters(), lr=0.1)
    for step in range(25):
        start = step % 4 * 8  # the last batch of an epoch has 6
        loss = cross_entropy(bare(data[0][start : start + 8]), data[1][start : start + 8])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(model.weight, bare.weight)
    assert torch.equal(model.bias, bare.bias)


def test_evaluation_leaves_the_model_training_and_keeps_no_gradient(run):
    model = nn.Sequential(nn.Linear(4, 2), nn.Dropout())
    seen = []

    def evaluate():
        seen.append((model.training, torch.is_grad_enabled()))
        return {"test/x": 1.0}

    def loss(model, batch):
        assert model.training
        return classification_loss(model, batch)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with run.attempt():
        Trainer(run, model, optimizer, loss).fit(Batches(points(), 8), evaluate)
    assert seen == [(False, False)] * 5


def test_what_an_evaluation_draws_at_random_changes_no_weight(experiment):
    def weights(*words):
        run = new_run(experiment, ["steps=25", *words])
        run.quiet = True
        with run.attempt():
            model = nn.Sequential(nn.Dropout(), nn.Linear(4, 2))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            trainer = Trainer(run, model, optimizer, classification_loss)
            trainer.fit(Batches(points(), 8), lambda: {"test/x": torch.rand(1).item()})
        return model[1].weight

    assert torch.equal(weights("evaluate_every=2"), weights("evaluate_every=7"))


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_weights(experiment):
    run = new_run(experiment, ["precision=bfloat16", "steps=3"])
    run.quiet = True
    model = nn.Linear(4, 2)
    kinds = set()

    def loss(model, batch):
        output = model(batch[0])
        kinds.add(output.dtype)
        return cross_entropy(output.float(), batch[1])

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with run.attempt():
        Trainer(run, model, optimizer, loss).fit(Batches(points(), 8))
    assert kinds == {torch.bfloat16}
    assert model.weight.dtype == torch.float32


def test_deterministic_turns_on_torchs_own_switch(experiment):
    run = new_run(experiment, ["deterministic=true"])
    run.quiet = True
    try:
        with run.attempt():
            assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_second_signal_stops_at_once(run):
    """The first is only noted; one that comes within a second is the same Ctrl-C seen twice."""

    def loss(model, batch):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        run.stop._received -= 2  # as if two seconds had passed
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not stopped")

    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(Interrupted), run.stop.listening(), run.attempt():
        Trainer(run, model, optimizer, loss).fit(Batches(points(), 8))
    assert run.record.status == "interrupted"
    assert run.checkpoints() == []


def test_a_checkpoint_of_other_data_is_refused(experiment, run):
    from research_train import resumed_run

    def fit(run, batches):
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with run.attempt():
            Trainer(run, model, optimizer, classification_loss).fit(batches)

    fit(run, Batches(points(), 8))
    again = resumed_run(experiment, run.record.id, ["steps=30"])
    again.quiet = True
    inputs, targets = points()
    with pytest.raises(RunError, match=r"30 examples.*\b29"):
        fit(again, Batches((inputs[:29], targets[:29]), 8))
