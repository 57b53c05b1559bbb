"""The update that is meant: parts, weights, own steps, sources that end, evaluations that fail."""

import json
import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from research_data import Batches, BatchSource, StatefulDataLoader
from research_train import RunError, Trainer, classification_loss, new_run, resumed_run
from torch import nn
from torch.nn.functional import cross_entropy


def points():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(32, 4, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


def start(experiment, *words):
    run = new_run(experiment, ["steps=8", "batch_size=8", "log_every=1", *words])
    run.quiet = True
    return run


FAILING = [0]  # evaluations until one fails; of the module: a closure's would be part of the state


def fit(run, loss=classification_loss, batches=None, evaluate=None, **options):
    with run.attempt():
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(run, model, optimizer, loss, **options)
        trainer.fit(Batches(points(), 8) if batches is None else batches, evaluate)
        run.record.metrics = {}
    return model, trainer


def lines(run, name):
    content = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in content if name in line]


def best(run):
    return json.loads((run.last_checkpoint() / "state.json").read_text())["best"]


def counted(model, batch):
    return cross_entropy(model(batch[0]), batch[1]), (batch[1] != -100).sum()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.booleans(), min_size=2, max_size=9).filter(any), st.integers(1, 6))
def test_a_loss_that_says_its_weight_has_the_update_of_the_whole(experiment, kept, parts):
    inputs, targets = points()
    inputs, targets = inputs[: len(kept)], targets[: len(kept)].clone()
    targets[~torch.tensor(kept)] = -100
    whole, cut = nn.Linear(4, 2), nn.Linear(4, 2)
    cut.load_state_dict(whole.state_dict())
    for _ in range(2):  # the second adds to the gradients there are
        expected = cross_entropy(whole(inputs), targets)
        expected.backward()
    run = start(experiment, f"accumulate={parts}")
    trainer = Trainer(run, cut, torch.optim.SGD(cut.parameters(), lr=0.1), counted)
    for _ in range(2):
        loss = trainer.backward((inputs, targets))
    torch.testing.assert_close(loss, expected.detach())
    torch.testing.assert_close(cut.weight.grad, whole.weight.grad)


def test_targets_left_out_by_a_loss_that_does_not_say_so_are_refused(experiment):
    inputs, targets = points()
    targets[-1] = -100
    run = start(experiment, "accumulate=2")
    with pytest.raises(RunError, match="-100"):
        fit(run, batches=Batches((inputs, targets), 8))
    assert lines(run, "train/loss") == []


def test_a_logged_loss_is_the_mean_over_all_examples_since_the_last_line(experiment):
    run = start(experiment, "steps=5", "log_every=5")
    inputs, targets = points()
    _, trainer = fit(run, batches=Batches((inputs, targets), 7), schedule=lambda step: 0.0)
    expected = cross_entropy(trainer.model(inputs), targets).item()  # 7, 7, 7, 7 and 4 of 32
    assert lines(run, "train/loss") == [pytest.approx(expected)]


def test_batches_of_dicts_train_as_tuples_do(experiment):
    inputs, targets = points()

    def loss(model, batch):
        return cross_entropy(model(batch["x"]), batch["y"])

    expected, _ = fit(start(experiment, "accumulate=3"))
    run = start(experiment, "accumulate=3")
    model, _ = fit(run, loss, Batches({"x": inputs, "y": targets}, 8))
    assert torch.equal(model.weight, expected.weight)
    rows = [{"x": x, "y": y, "name": "a"} for x, y in zip(inputs, targets, strict=True)]
    model, _ = fit(start(experiment, "accumulate=3"), loss, StatefulDataLoader(rows, 8))
    assert torch.equal(model.weight, expected.weight)


def update(trainer, loss):
    loss.backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return loss.detach()


def by_hand(trainer, batch):
    return update(trainer, trainer.loss(trainer.model, batch))


def around(trainer, batch):
    return update(trainer, cross_entropy(trainer.model(batch[0]), batch[1]))


def without_an_optimizer(trainer, batch):
    loss = cross_entropy(trainer.model(batch[0]), batch[1])
    loss.backward()
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter -= 0.1 * parameter.grad
            parameter.grad = None
    return loss.detach()


@pytest.mark.parametrize(
    ("step", "words", "options", "said"),
    [
        (by_hand, ["accumulate=2"], {}, "accumulate=2"),
        (by_hand, ["precision=float16"], {}, "float16"),
        (by_hand, [], {"clip_norm": 1.0}, "clip_norm=1.0"),
        (around, ["precision=bfloat16"], {}, "bfloat16"),
        (without_an_optimizer, [], {"clip_norm": 1.0}, "clip_norm=1.0"),
    ],
)
def test_a_key_that_an_own_step_goes_around_is_refused(experiment, step, words, options, said):
    run = start(experiment, *words)
    with pytest.raises(RunError, match=f"step 1.*{said}"):
        fit(run, step=step, **options)
    assert lines(run, "train/loss") == [] and run.checkpoints() == []


def test_schedule_and_average_are_applied_after_an_own_step(experiment):
    options = {"schedule": lambda step: 0.9**step, "ema_decay": 0.5}
    expected, trainer = fit(start(experiment), **options)
    model, own = fit(start(experiment), step=by_hand, **options)
    assert torch.equal(model.weight, expected.weight)
    assert torch.equal(own.ema.module.weight, trainer.ema.module.weight)


class Ending(BatchSource):
    """Three batches, then none."""

    def __init__(self):
        super().__init__(
            24, 8, shuffle=False, seed=0, drop_last=False, rank=0, world_size=1
        )  # fmt: skip

    def to(self, device):
        return self

    def __iter__(self):
        inputs, targets = points()
        while self.position < 3:
            part = self._hand_out()
            yield inputs[part], targets[part]


def test_data_that_ends_too_early_is_refused_with_both_numbers(experiment):
    with pytest.raises(RunError, match=r"8 steps.*3 batches"):
        fit(start(experiment), batches=Ending())
    for source in ([points()], iter([points()]), torch.utils.data.DataLoader(points()[0])):
        with pytest.raises(RunError, match="8 steps"):
            fit(start(experiment), batches=source)


def test_no_number_is_never_the_best_and_ends_nothing(experiment):
    words = ["evaluate_every=1", "keep_best=max:test/x", "patience=2", "keep_checkpoints=1"]
    values = [math.nan, 0.1, math.nan, math.inf, math.nan, 0.2, 0.3, 0.4]
    run, given_values = start(experiment, *words), iter(values)
    _, trainer = fit(run, evaluate=lambda: {"test/x": next(given_values)})
    assert (trainer.step, best(run)) == (8, [0.4, 8])
    run = start(experiment, *words)
    _, trainer = fit(run, evaluate=lambda: {"test/x": math.nan})
    assert (trainer.step, best(run)) == (8, None)


@pytest.mark.parametrize("at", [4, 8])
def test_an_evaluation_that_fails_costs_no_checkpoint_and_is_made_up_for(experiment, at):
    words = ["evaluate_every=4", "checkpoint_every=4", "keep_best=max:test/x"]
    whole = start(experiment, *words)
    _, trainer = fit(whole, evaluate=lambda: {"test/x": 1.0})
    run = start(experiment, *words)

    FAILING[:] = [at // 4]

    def fails():
        FAILING[0] -= 1
        if FAILING[0] == 0:
            raise ValueError("no evaluation")
        return {"test/x": 1.0}

    with pytest.raises(ValueError, match="no evaluation"):
        fit(run, evaluate=fails)
    assert run.checkpoints()[-1].name == f"step-{at:08d}"
    again = resumed_run(experiment, run.record.id, [])
    again.quiet = True
    _, resumed = fit(again, evaluate=lambda: {"test/x": 1.0})
    assert torch.equal(resumed.model.weight, trainer.model.weight)
    assert lines(again, "test/x") == lines(whole, "test/x")
    for name in ("model.safetensors", "state.json"):
        ours, theirs = again.checkpoints()[-1] / name, whole.checkpoints()[-1] / name
        assert ours.read_bytes() == theirs.read_bytes()


def test_sparse_gradients_are_logged_or_their_clipping_is_refused(experiment):
    def train(**options):
        run = start(experiment)
        tokens = torch.randint(0, 20, (32,))
        with run.attempt():
            model = nn.Embedding(20, 3, sparse=True)
            optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.1)
            trainer = Trainer(run, model, optimizer, classification_loss, **options)
            trainer.fit(Batches((tokens, tokens % 3), 8))
        return run

    assert all(norm > 0 for norm in lines(train(), "train/gradient_norm"))
    with pytest.raises(RunError, match=r"clip_norm=1\.0"):
        train(clip_norm=1.0)


def test_options_of_distributed_training_are_known_by_name(experiment):
    with pytest.raises(RunError, match=r"find_unused.*broadcast_buffers"):
        fit(start(experiment), ddp={"find_unused": True})
    fit(start(experiment), ddp={"find_unused_parameters": True})


class Masking(Batches):
    def __iter__(self):
        for inputs, targets in super().__iter__():
            yield inputs, targets.index_fill(0, torch.arange(3), -100)


def test_ignored_targets_that_only_batches_have_are_seen(experiment):
    from datasets import Dataset

    inputs, targets = points()
    with pytest.raises(RunError, match="-100"):
        fit(start(experiment, "accumulate=2"), batches=Masking((inputs, targets), 8))
    targets[20] = -100
    columns = {"inputs": inputs.numpy(), "targets": targets.numpy()}
    batches = Batches.from_arrow(Dataset.from_dict(columns), ["inputs", "targets"], 8)
    with pytest.raises(RunError, match="-100"):
        fit(start(experiment, "accumulate=2"), batches=batches)


def test_a_pixel_of_156_is_no_ignored_target(experiment):
    _, targets = points()
    pixels = torch.full((32, 4), 156, dtype=torch.uint8)

    def loss(model, batch):
        return cross_entropy(model(batch[0] / 255), batch[1])

    fit(start(experiment, "accumulate=2"), loss, Batches((pixels, targets), 8))


@pytest.mark.parametrize("word", ["accumulate=1", "precision=bfloat16", "accumulate=2"])
def test_a_batch_of_any_kind_is_whole_or_can_not_be_cut(experiment, word):
    class Graph:
        def __init__(self, rows):
            self.nodes, self.labels = (torch.stack(field) for field in zip(*rows, strict=True))

    def loss(model, batch):
        return cross_entropy(model(batch.nodes), batch.labels)

    rows = list(zip(*points(), strict=True))
    batches = StatefulDataLoader(rows, 8, collate_fn=Graph)
    if word != "accumulate=2":
        fit(start(experiment, word), loss, batches)
        return
    with pytest.raises(RunError, match=r"accumulate=2.* Graph"):
        fit(start(experiment, word), loss, batches)


def test_a_loss_in_a_vector_is_refused_at_once(experiment):
    with pytest.raises(RunError, match=r"shape \(1,\)"):
        fit(start(experiment), lambda m, b: cross_entropy(m(b[0]), b[1]).reshape(1))
