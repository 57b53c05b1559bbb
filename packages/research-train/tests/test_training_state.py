"""Whatever moves in a training is in its checkpoints, or the training is refused at its start."""

import copy
import functools
import random
from collections import deque
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pytest
import torch
from research_data import Batches, ResearchError
from research_train import Trainer, classification_loss, new_run, resumed_run
from safetensors.torch import load_file
from torch import nn

STOP = 7  # the step after which a training breaks off; checkpoints are written every 3


def points():
    generator = torch.Generator().manual_seed(5)
    inputs = torch.randn(40, 6, generator=generator)
    return inputs, (inputs[:, 0] > 0).long() + (inputs[:, 1] > 0).long()


class BrokenOffError(Exception):
    pass


def ended(experiment, train, breaks_off, steps=12):
    """The tensors of the last checkpoint of a training, whole or broken off and resumed."""

    def attempt(run, until):
        run.quiet = True
        with run.attempt():
            train(run, until)
            run.record.metrics = {}

    words = [f"steps={steps}", "checkpoint_every=3", "log_every=4", "tensorboard=false"]
    run = new_run(experiment, words)
    if breaks_off:
        with pytest.raises(BrokenOffError):
            attempt(run, STOP)
        run = resumed_run(experiment, str(run.folder))
    attempt(run, None)
    folder = run.last_checkpoint()
    return {
        f"{file}:{name}": tensor
        for file in ("model", "optimizer")
        for name, tensor in load_file(folder / f"{file}.safetensors").items()
    }


def goes_on_exactly(experiment, train):
    whole, resumed = ended(experiment, train, False), ended(experiment, train, True)
    assert whole.keys() == resumed.keys()
    for name in whole:
        assert torch.equal(whole[name], resumed[name]), name


def breaking(until, step=Trainer.train_step):
    def broken(trainer, batch):
        if trainer.step == until:
            raise BrokenOffError
        return step(trainer, batch)

    return broken


def fit(
    run, until, model, optimizer=None, step=Trainer.train_step, loss=classification_loss, **more
):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.05)
    Trainer(run, model, optimizer, loss, step=breaking(until, step), **more).fit(
        Batches(points(), 8, shuffle=True)
    )


def test_groups_that_are_added_later_are_there_again(experiment):
    def train(run, until):
        body, head = nn.Linear(6, 8), nn.Linear(8, 3)
        body.requires_grad_(False)
        optimizer = torch.optim.AdamW(head.parameters(), lr=0.1)

        def step(trainer, batch):
            if trainer.step == 2:
                body.weight.requires_grad_(True)
                optimizer.add_param_group(
                    {"params": [body.weight], "lr": 0.02, "betas": (0.5, 0.9)}
                )
            if trainer.step == 9:
                body.bias.requires_grad_(True)
                optimizer.param_groups[1]["params"].append(body.bias)
            return trainer.train_step(batch)

        fit(run, until, nn.Sequential(body, head), optimizer, step)

    goes_on_exactly(experiment, train)


class Counting(nn.Module):
    """Its output depends on all that it keeps."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("hidden", torch.zeros(6), persistent=False)
        self.average = torch.zeros(6)  # not registered
        self.seen = 0
        self.last = deque(maxlen=2)
        self.table = {"scale": 1.0}
        self.noise = torch.Generator().manual_seed(3)
        self.python = random.Random(4)
        self.numpy = np.random.default_rng(5)
        self.array = np.zeros(3)
        self.later = None
        self.own = torch.zeros(())

    def get_extra_state(self):
        return {"own": self.own.clone(), "seen": self.seen}

    def set_extra_state(self, state):
        self.own = state["own"]

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.hidden += x.mean(0)
                self.average = 0.9 * self.average + 0.1 * x.mean(0)
                self.own += x.mean()
                self.seen += 1
                self.last.append(x.mean().item())
                self.table["scale"] *= 0.99
                self.array += 0.1
                self.later = x.std(0)
        if self.seen > 4:
            self.linear.bias.requires_grad_(False)
        drawn = torch.randn(6, generator=self.noise) + self.python.random() + self.numpy.random()
        scale = self.table["scale"] + sum(self.last) + self.array[0] + self.seen + self.own
        x = x * scale + self.hidden + self.average + drawn
        return self.linear(x + (0 if self.later is None else self.later))


def test_what_a_module_keeps_besides_its_tensors_goes_on(experiment):
    goes_on_exactly(experiment, lambda run, until: fit(run, until, Counting()))


def test_what_a_loss_and_a_step_keep_goes_on(experiment):
    def train(run, until):
        centre, count, teacher = torch.zeros(3), 0, nn.Linear(6, 3).requires_grad_(False)
        model = nn.Linear(6, 3)

        def loss(model, batch):
            nonlocal centre
            inputs, targets = batch
            outputs = model(inputs)
            centre = 0.5 * centre + 0.5 * outputs.detach().mean(0)
            distance = (outputs - teacher(inputs)).square().mean()
            return nn.functional.cross_entropy(outputs - centre, targets) + distance

        def step(trainer, batch):
            nonlocal count
            count += 1
            for group in trainer.optimizer.param_groups:
                group["lr"] = 0.1 / count
            value = trainer.train_step(batch)
            for mine, its in zip(teacher.parameters(), model.parameters(), strict=True):
                mine.lerp_(its.detach(), 0.3)
            return value

        fit(run, until, model, step=step, loss=loss)

    goes_on_exactly(experiment, train)


@dataclass
class Centre:
    value: torch.Tensor


class Hiding(nn.Module):
    """Its teacher is in a list, so that it is none of its modules, and is larger than is hashed."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(6, 600), nn.Linear(600, 3)
        self.student, self.teacher = nn.Linear(600, 600), [nn.Linear(600, 600)]
        self.register_buffer("cache", torch.ones(1), persistent=False)

    def forward(self, x):
        if self.training:
            self.cache = torch.ones(len(self.cache) + 1)
            for its, mine in zip(
                self.teacher[0].parameters(), self.student.parameters(), strict=True
            ):
                its.data.mul_(0.7).add_(mine.data, alpha=0.3)  # what torch doesn't count
        x = self.first(x)
        return self.last(self.student(x) + self.teacher[0](x) + len(self.cache) / 10)


def test_a_hidden_teacher_and_a_cache_that_grows_go_on(experiment):
    goes_on_exactly(experiment, lambda run, until: fit(run, until, Hiding()))


def test_dataclasses_partials_attributes_and_defaults_go_on(experiment):
    def train(run, until):
        centre, model = Centre(torch.zeros(3)), nn.Linear(6, 3)

        def scale(memory):
            memory[0] += 1
            return memory[0]

        counted = functools.partial(scale, [0])

        def loss(model, batch, memory=[0]):  # noqa: B006  # that is the point
            memory[0] += 1
            loss.calls += 1
            outputs = model(batch[0])
            centre.value = 0.5 * centre.value + 0.5 * outputs.detach().mean(0)
            entropy = nn.functional.cross_entropy(outputs - centre.value, batch[1])
            return entropy * (counted() + memory[0] + loss.calls) / 9

        loss.calls = 0
        schedule = functools.partial(lambda step, memory: 1 / scale(memory), memory=[0])
        fit(run, until, model, loss=loss, schedule=schedule)

    goes_on_exactly(experiment, train)


@pytest.mark.parametrize("norm", [nn.utils.spectral_norm, nn.utils.weight_norm])
def test_a_weight_that_first_shared_its_memory_goes_on(experiment, norm):
    """spectral_norm's `weight` is `weight_orig` until the first forward pass, then its own."""

    def train(run, until):
        fit(run, until, nn.Sequential(norm(nn.Linear(6, 8)), nn.Linear(8, 3)))

    goes_on_exactly(experiment, train)


def test_what_an_evaluation_makes_for_itself_goes_on(experiment):
    def train(run, until):
        model, judge = nn.Linear(6, 3), None

        def evaluate():
            nonlocal judge
            judge = judge or nn.Linear(3, 3)
            return {"test/x": judge(model(points()[0])).mean().item()}

        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(run, model, optimizer, classification_loss, step=breaking(until))
        trainer.fit(Batches(points(), 8), evaluate)

    goes_on_exactly(experiment, train)


def test_an_array_that_is_a_file_is_not_read(experiment, tmp_path):
    size = 2**36  # a file of nothing, which no memory holds
    tokens = np.memmap(tmp_path / "tokens", dtype=np.uint8, mode="w+", shape=(size,))
    files = {"train": np.asarray(tokens)}
    run = new_run(experiment, ["steps=3", "tensorboard=false"])

    def loss(model, batch):
        return classification_loss(model, batch) + float(tokens[5]) + float(files["train"][6])

    with run.attempt():
        fit(run, None, nn.Linear(6, 3), loss=loss)
    assert not (run.last_checkpoint() / "moving.safetensors").exists()


def test_modes_that_a_training_changes_are_there_again(experiment):
    def train(run, until):
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))

        def step(trainer, batch):
            if trainer.step == 5:
                model[1].eval()
            return trainer.train_step(batch)

        fit(run, until, model, step=step)

    goes_on_exactly(experiment, train)


OPTIMIZERS = {
    "LBFGS": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3, history_size=4),
    "Adafactor": lambda p: torch.optim.Adafactor(p, lr=0.01),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "tensor rate": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01), foreach=False),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_the_state_of_any_optimizer_goes_on(experiment, kind):
    def train(run, until):
        model = nn.Linear(6, 3)
        optimizer = OPTIMIZERS[kind](model.parameters())

        def closure_step(trainer, batch):
            def closure():
                optimizer.zero_grad()
                loss = trainer.loss(model, batch)
                loss.backward()
                return loss

            return optimizer.step(closure).detach()

        step = closure_step if kind == "LBFGS" else Trainer.train_step
        fit(run, until, model, optimizer, step)

    goes_on_exactly(experiment, train)


class Lookahead(torch.optim.SGD):
    """State of its own in three places: lists of a parameter's, under a word, beside `state`."""

    def __init__(self, parameters):
        super().__init__(parameters, lr=0.1)
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1
        self.state["all"]["steps"] = self.state["all"].get("steps", 0) + 1
        for parameter in self.param_groups[0]["params"]:
            mine = self.state[parameter]
            history = mine.setdefault("history", [])
            mine["word"] = "twice" if len(history) % 2 else "once"
            history.append(parameter.grad.clone())
            del history[:-2]
            for old in history:
                parameter.data.sub_(old, alpha=0.1 / self.state["all"]["steps"])
            if mine["word"] == "twice":
                parameter.data.mul_(1 - 0.01 * self.steps)


def test_the_state_of_an_optimizer_of_ones_own_goes_on(experiment):
    def train(run, until):
        model = nn.Linear(6, 3)
        fit(run, until, model, Lookahead(model.parameters()))

    goes_on_exactly(experiment, train)


def test_a_state_finer_than_its_parameter_stays_so(experiment):
    class Fine(torch.optim.SGD):
        def step(self, closure=None):
            for parameter in self.param_groups[0]["params"]:
                mine = self.state[parameter]
                mine.setdefault("whole", parameter.detach().float().clone())
                mine["whole"] -= 0.01 * parameter.grad.float()
                parameter.data.copy_(mine["whole"])

    def train(run, until):
        model = nn.Linear(6, 3).bfloat16()

        def loss(model, batch):
            outputs = model(batch[0].bfloat16()).float()
            return nn.functional.cross_entropy(outputs, batch[1])

        fit(run, until, model, Fine(model.parameters(), lr=0.1), loss=loss)

    goes_on_exactly(experiment, train)


# What is refused: how it is made, and a word of what is said. Each gets (model) -> fit's arguments.


def scheduled(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 3)
    return {"optimizer": optimizer}


def on_plateau(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)

    def step(trainer, batch):
        loss = trainer.train_step(batch)
        scheduler.step(loss)
        return loss

    return {"optimizer": optimizer, "step": step}


def foreign(model):
    temperature = nn.Parameter(torch.zeros(()))
    return {"optimizer": torch.optim.SGD([*model.parameters(), temperature], lr=0.1)}


def foreign_later(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(trainer, batch):
        if trainer.step == 0:
            optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))]})
        return trainer.train_step(batch)

    return {"optimizer": optimizer, "step": step}


def iterator(model):
    order = cycle([1, 2, 3])
    return {"step": lambda trainer, batch: trainer.train_step(batch) * next(order)}


def iterator_inside(model):
    model.order = iter([1, 2])
    return {}


def second_optimizer(model):
    other = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(trainer, batch):
        loss = trainer.train_step(batch)
        other.step()
        return loss

    return {"step": step}


def buffer(tensor):
    def register(model):
        model.register_buffer("odd", tensor)
        return {}

    return register


def lazy(model):
    model.more = nn.LazyLinear(3)
    return {"optimizer": torch.optim.SGD(model.linear.parameters(), lr=0.1)}


def strange_group(model):
    group = {"params": list(model.parameters()), "rule": print}
    return {"optimizer": torch.optim.SGD([group], lr=0.1)}


def strange_state(model):
    class Strange(torch.optim.SGD):
        def step(self, closure=None):
            for parameter in self.param_groups[0]["params"]:
                self.state[parameter]["object"] = object()

    return {"optimizer": Strange(model.parameters(), lr=0.1)}


def strange_extra_state(model):
    class Strange(nn.Module):
        def get_extra_state(self):
            return object()

    model.strange = Strange()
    return {}


def grown(model):
    def step(trainer, batch):
        model.register_buffer("more", torch.zeros(2))
        return trainer.train_step(batch)

    return {"step": step}


def teacher_later(model):
    teacher = None

    def step(trainer, batch):
        nonlocal teacher
        teacher = teacher or copy.deepcopy(model)
        return trainer.train_step(batch)

    return {"step": step}


def hidden_sparse(model):
    model.graph = torch.eye(3).to_sparse()

    def step(trainer, batch):
        model.graph = model.graph * 2
        return trainer.train_step(batch)

    return {"step": step}


REFUSED = {
    "scheduler": (scheduled, "schedule="),
    "plateau": (on_plateau, "schedule="),
    "foreign": (foreign, "none of the model's"),
    "foreign later": (foreign_later, "none of the model's"),
    "iterator": (iterator, "iterator"),
    "iterator inside": (iterator_inside, "order.*iterator"),
    "second optimizer": (second_optimizer, "optimizer"),
    "complex": (buffer(torch.zeros(2, dtype=torch.complex128)), "odd.*complex128"),
    "sparse": (buffer(torch.eye(3).to_sparse()), "odd.*sparse"),
    "meta": (buffer(torch.zeros(2, device="meta")), "meta"),
    "expanded": (buffer(torch.zeros(1).expand(3)), "odd.*clone"),
    "quantized": (buffer(torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint8)), "quant"),
    "lazy": (lazy, "no shape yet"),
    "group": (strange_group, "function"),
    "state": (strange_state, "object"),
    "extra state": (strange_extra_state, "get_extra_state"),
    "grown": (grown, "more"),
    "teacher later": (teacher_later, "teacher was created"),
    "hidden sparse": (hidden_sparse, "graph.*sparse"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_stored_is_refused_before_the_second_step(experiment, kind):
    make, word = REFUSED[kind]
    run = new_run(experiment, ["steps=12", "tensorboard=false"])
    run.quiet = True
    model = nn.Sequential()
    model.linear = nn.Linear(6, 3)
    trained = []

    def loss(model, batch):
        trained.append(1)
        return nn.functional.cross_entropy(model.linear(batch[0]), batch[1])

    with pytest.raises(ResearchError, match=word), run.attempt():
        fit(run, None, model, **{"loss": loss, **make(model)})
    assert len(trained) <= 1


def test_state_that_never_changes_is_neither_refused_nor_stored(experiment):
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 3)
            self.graph = torch.eye(6).to_sparse()
            self.register_buffer("mask", torch.ones(6), persistent=False)
            self.settings = {"a": [1, 2], "b": object()}

        def forward(self, x):
            return self.linear((self.graph @ x.T).T * self.mask)

    run = new_run(experiment, ["steps=3", "tensorboard=false"])
    with run.attempt():
        fit(run, None, Constant())
    assert not (run.last_checkpoint() / "moving.safetensors").exists()


def test_weights_that_are_loaded_bring_what_the_module_kept(experiment):
    run = new_run(experiment, ["steps=6", "tensorboard=false"])
    model = Counting()
    with run.attempt():
        fit(run, None, model)
    loaded = run.load_weights(Counting())
    assert (loaded.seen, loaded.table, list(loaded.last)) == (6, model.table, list(model.last))
    assert torch.equal(loaded.own, model.own)
    assert torch.equal(loaded.hidden, model.hidden)
    assert not loaded.training
    assert loaded.linear.bias.requires_grad  # what trains is the paper's to say


def test_a_frozen_part_stays_in_evaluation_mode_and_a_loaded_model_does_not(experiment, capsys):
    run = new_run(experiment, ["steps=4", "evaluate_every=2", "tensorboard=false"])
    frozen = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)).requires_grad_(False).eval()
    norm = nn.BatchNorm1d(6).eval()
    model = nn.Sequential(frozen, norm, nn.Linear(6, 3))
    before = frozen[1].running_mean.clone()
    with run.attempt():
        fit(run, None, model)
    assert torch.equal(frozen[1].running_mean, before)
    assert [m.training for m in (model, frozen, frozen[1], norm)] == [True, False, False, False]
    said = capsys.readouterr().err
    assert "note: 1 " in said and "evaluation mode" in said
    assert "note: 0" not in said

    loaded = run.load_weights(nn.Sequential(frozen, norm, nn.Linear(6, 3)))
    again = new_run(experiment, ["steps=1", "tensorboard=false"])
    with again.attempt():
        fit(again, None, loaded.requires_grad_(True))
    assert all(module.training for module in loaded.modules())


def test_an_average_copies_counts_and_follows_the_rest(experiment):
    run = new_run(experiment, ["steps=5", "tensorboard=false"])
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    model.register_buffer("on", torch.tensor([True, False]))
    model[2].bias.requires_grad_(False)
    tied = nn.Linear(8, 3)
    tied.weight = model[2].weight
    model.tied = nn.Sequential()
    model.tied.add_module("inside", tied)
    model.forward = lambda x: model[2](model[1](model[0](x)))

    def step(trainer, batch):
        model.on.logical_not_()
        return trainer.train_step(batch)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with run.attempt():
        trainer = Trainer(run, model, optimizer, classification_loss, step=step, ema_decay=0.5)
        trainer.fit(Batches(points(), 8))
    average = trainer.ema.module
    assert average[1].num_batches_tracked == model[1].num_batches_tracked == 5
    assert torch.equal(average.on, model.on)
    assert torch.equal(average[2].bias, model[2].bias)
    assert average.tied.inside.weight is average[2].weight
    assert not torch.equal(average[0].weight, model[0].weight)


@pytest.mark.parametrize("given", [None, 3, {"test/x": "high"}, {"step": 1}])
def test_an_evaluation_that_gives_no_metrics_costs_no_checkpoint(experiment, given):
    run = new_run(experiment, ["steps=4", "evaluate_every=2", "tensorboard=false"])
    run.quiet = True
    model = nn.Linear(6, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ResearchError, match="metric"), run.attempt():
        Trainer(run, model, optimizer, classification_loss).fit(Batches(points(), 8), lambda: given)
    assert [folder.name for folder in run.checkpoints()] == ["step-00000002"]
