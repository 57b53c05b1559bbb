"""A step compiled whole does what the plain step does, or says before the first why it can't."""

from contextlib import contextmanager
from functools import partial

import pytest
import torch
from research_data import Batches
from research_train import (
    ConfigError,
    RunError,
    TrainConfig,
    Trainer,
    classification_loss,
    cosine,
    load_config,
    new_run,
    parameter_groups,
    read_metrics,
    runs,
    warm_up,
)
from torch import nn
from torch.nn.functional import cross_entropy


@pytest.fixture
def without_kernels(monkeypatch):
    """torch's compiler up to the graph: what is computed, without a C++ compiler's seconds."""
    compiled = partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", lambda step, options, **given: compiled(step, **given))


def points(count=32):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 4, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


class Network(nn.Module):
    """Batch norm and its buffers, tied weights, a frozen layer, one that no loss reaches."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, 8, False), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2)
        )
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.unused = nn.Linear(3, 3)
        self.tied = nn.Linear(2, 2)
        self.again = nn.Linear(2, 2)
        self.again.weight = self.tied.weight

    def forward(self, x):
        return self.again(self.frozen(self.tied(self.layers(x))))


def weighted(model, batch):
    inputs, targets = batch
    return cross_entropy(model(inputs), targets), len(targets)


def counted(model, batch):
    inputs, targets = batch
    counts = targets > 0
    losses = cross_entropy(model(inputs), targets, reduction="none")
    return (losses * counts).sum() / counts.sum(), counts.sum()


OPTIMIZERS = {
    "adam": partial(torch.optim.Adam, lr=0.01),
    "amsgrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True, weight_decay=0.1),
    "fused": partial(torch.optim.Adam, lr=0.01, fused=True),
    "adamw": partial(torch.optim.AdamW, lr=0.01, weight_decay=0.1, betas=(0.8, 0.95)),
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "nesterov": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    "maximize": partial(torch.optim.SGD, lr=0.01, momentum=0.5, maximize=True),
}


def fit(experiment, *words, optimizer="adam", loss=classification_loss, groups=False, **options):
    """Train the network in a run; returns the run, the network and its trainer."""
    run = new_run(experiment, ["steps=12", "batch_size=8", "log_every=1", *words])
    run.quiet = True
    with run.attempt():
        torch.manual_seed(1)
        model = Network()
        parameters = parameter_groups(model, 0.1) if groups else model.parameters()
        trainer = Trainer(run, model, OPTIMIZERS[optimizer](parameters), loss, **options)
        with torch.no_grad():
            model.frozen.weight.mul_(2)  # as weights that are loaded after the Trainer was made
        trainer.fit(Batches(points(), 8, shuffle=True))
        run.record.metrics = {}
    return run, model, trainer


def lines(run):
    names = ("train/loss", "train/gradient_norm", "train/learning_rate")
    return [{name: line[name] for name in names} for line in read_metrics(run.folder)]


CASES = {
    **{name: {"optimizer": name} for name in OPTIMIZERS if name != "adamw"},
    "adamw, groups and a schedule": {
        "optimizer": "adamw",
        "groups": True,
        "schedule": warm_up(3, cosine(9)),
    },
    "clipping": {"optimizer": "sgd", "clip_norm": 0.1},
    "averages": {"optimizer": "sgd", "ema_decay": 0.9},
    "a weight of the loss": {"optimizer": "sgd", "loss": weighted},
    "a weight that differs": {"optimizer": "sgd", "loss": counted},
}


@pytest.mark.usefixtures("without_kernels")
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_it_does_what_the_plain_step_does(experiment, options):
    plain, by_hand, of_plain = fit(experiment, **options)
    compiled, model, trainer = fit(experiment, "compile=step", **options)
    for ours, theirs in zip(lines(compiled), lines(plain), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    torch.testing.assert_close(model.state_dict(), by_hand.state_dict(), rtol=1e-4, atol=1e-6)
    if "ema_decay" in options:
        ours, theirs = trainer.ema.state_dict(), of_plain.ema.state_dict()
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    ours, theirs = (sorted(o.optimizer.state_dict()["state"]) for o in (trainer, of_plain))
    assert ours == theirs  # none for what the loss doesn't reach


@pytest.mark.parametrize("word", ["accumulate=2", "precision=bfloat16"])
def test_a_config_that_it_cannot_honour_makes_no_run(experiment, word):
    with pytest.raises(ConfigError, match=word):
        new_run(experiment, ["steps=3", "compile=step", word])
    assert not runs()


def test_a_last_batch_of_another_size_is_refused(experiment):
    run = new_run(experiment, ["steps=3", "compile=step", "batch_size=8"])
    model = Network()
    trainer = Trainer(run, model, OPTIMIZERS["sgd"](model.parameters()), classification_loss)
    with pytest.raises(RunError, match="5 examples"):
        trainer.fit(Batches(points(21), 8))


@pytest.mark.usefixtures("without_kernels")
def test_it_leaves_the_compiler_of_later_trainings_as_it_was(experiment):
    fit(experiment, "compile=model")
    settings = torch._inductor.config.get_config_copy()
    fit(experiment, "compile=step")
    assert torch._inductor.config.get_config_copy() == settings


def own_step(trainer, batch):
    loss = trainer.backward(batch)
    trainer.update()
    return loss


def many(model):
    return {"a": OPTIMIZERS["sgd"](model.parameters()), "b": OPTIMIZERS["sgd"]([nn.Parameter()])}


@pytest.mark.parametrize(
    ("make", "options", "named"),
    [
        (lambda model: torch.optim.SGD(model.parameters()), {"step": own_step}, "step="),
        (many, {}, "2 optimizers"),
        (lambda model: torch.optim.RMSprop(model.parameters()), {}, "RMSprop"),
        (
            lambda model: torch.optim.SGD(model.parameters(), momentum=0.9, dampening=0.1),
            {},
            "dampening=0.1",
        ),
        (
            lambda model: torch.optim.SGD([*model.parameters(), nn.Parameter(torch.ones(1))]),
            {},
            "1 parameters that are not in the model",
        ),
    ],
    ids=["own step", "several optimizers", "RMSprop", "dampening", "a parameter outside"],
)
def test_a_training_that_it_cannot_honour_is_refused(experiment, make, options, named):
    run = new_run(experiment, ["steps=3", "compile=step"])
    model = Network()
    with pytest.raises(RunError, match=named):
        Trainer(run, model, make(model), classification_loss, **options)


def test_a_recurrent_layer_is_refused_by_its_name(experiment):
    model = nn.Sequential(nn.Linear(4, 8), nn.GRU(8, 8))
    optimizer = torch.optim.SGD(model.parameters())
    with pytest.raises(RunError, match="GRU at 1"):
        run = new_run(experiment, ["steps=3", "compile=step"])
        Trainer(run, model, optimizer, classification_loss)


def sparse():
    return nn.Sequential(nn.Embedding(4, 3, sparse=True), nn.Flatten(), nn.Linear(12, 2))


def stopping_on_a_value(model, batch):
    if (loss := classification_loss(model, batch)) > 100:  # a value decides: the graph breaks here
        return loss * 0
    return loss


@contextmanager
def weighing(model):
    yield 2 if model(torch.ones(1, 4)).sum() > 100 else 1  # the graph breaks here


def calling_more(model, batch):
    with weighing(model) as factor:
        return classification_loss(model, batch) * factor


@pytest.mark.usefixtures("without_kernels")
@pytest.mark.parametrize(
    ("model", "loss", "named"),
    [
        (nn.Linear(4, 2), stopping_on_a_value, r"test_compiled_step\.py:\d+: if \(loss"),
        (nn.Linear(4, 2), calling_more, r"test_compiled_step\.py:\d+: yield 2"),
        (sparse(), lambda m, b: classification_loss(m, (b[0].long().clamp(0, 3), b[1])), "sparse"),
        (nn.Linear(4, 2), lambda m, b: torch.zeros((), requires_grad=False), "no parameter"),
    ],
    ids=["a graph break", "one inside of calls", "sparse gradients", "nothing to learn"],
)
def test_a_loss_that_it_cannot_follow_is_refused(experiment, model, loss, named):
    run = new_run(experiment, ["steps=3", "compile=step", "batch_size=8"])
    trainer = Trainer(run, model, torch.optim.SGD(model.parameters()), loss)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(RunError, match=named):
        trainer.fit(Batches(points(), 8))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.usefixtures("without_kernels")
def test_freezing_in_the_middle_of_a_fit_is_refused(experiment):
    run = new_run(experiment, ["steps=9", "compile=step", "batch_size=8", "evaluate_every=3"])
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    trainer = Trainer(run, model, torch.optim.SGD(model.parameters()), classification_loss)

    def evaluate():
        model[0].requires_grad_(False)
        return {}

    with pytest.raises(RunError, match="frozen"):
        trainer.fit(Batches(points(), 8), evaluate)


@pytest.mark.usefixtures("without_kernels")
def test_a_second_phase_may_learn_other_parameters(experiment):
    run = new_run(experiment, ["steps=4", "compile=step", "batch_size=8"])
    run.quiet = True
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].requires_grad_(False)
    trainer = Trainer(run, model, torch.optim.SGD(model.parameters(), lr=0.1), classification_loss)
    first = model[0].weight.clone()
    with run.attempt():
        trainer.fit(Batches(points(), 8))
        assert torch.equal(model[0].weight, first)
        model[0].requires_grad_(True)
        trainer.fit(Batches(points(), 8))
        run.record.metrics = {}
    assert not torch.equal(model[0].weight, first)


@pytest.mark.parametrize(
    ("word", "value", "stored"),
    [("no", "no", False), ("true", "model", True), ("step", "step", "step")],
)
def test_the_key_reads_what_older_versions_wrote(experiment, word, value, stored):
    config = load_config(experiment, [f"compile={word}"])
    assert config.compile == value
    assert config.model_dump(mode="json")["compile"] == stored
    assert TrainConfig.model_validate({"compile": stored}).compile == value
