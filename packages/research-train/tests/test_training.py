"""What a training can be asked for beyond steps: each against the plain loop that it stands for."""

import json
import re
import threading
import time
from functools import partial
from unittest.mock import Mock

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from research_data import Batches, StorageError
from research_train import (
    ConfigError,
    OutOfMemoryError,
    RunError,
    Trainer,
    accuracy,
    classification_loss,
    cosine,
    linear,
    new_run,
    parameter_groups,
    read_metrics,
    resumed_run,
    steps_down,
    warm_up,
)
from torch import nn
from torch.nn.functional import cross_entropy


def points(count=32):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 4, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


def start(experiment, *words):
    run = new_run(experiment, ["steps=12", "batch_size=8", *words])
    run.quiet = True
    return run


def fit(run, evaluate=None, lr=0.1, optimizer=None, **options):
    """Train a small network in a run; returns it and its trainer."""
    data = points()
    with run.attempt():
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        make = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=lr))
        trainer = Trainer(run, model, make(model.parameters()), classification_loss, **options)
        trainer.fit(Batches(data, 8), evaluate and (lambda: evaluate(trainer)))
        run.record.metrics = {}
    return model, trainer


def bare(run, each_step, steps=12, lr=0.1):
    """The same network in a loop by hand; each_step: (step, model, optimizer, batch)."""
    torch.manual_seed(run.config.seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    inputs, targets = points()
    for step in range(steps):
        rows = slice(step % 4 * 8, step % 4 * 8 + 8)
        each_step(step, model, optimizer, (inputs[rows], targets[rows]))
        optimizer.step()
        optimizer.zero_grad()
    return model


def same(model, other):
    return all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


def backward(step, model, optimizer, batch):
    cross_entropy(model(batch[0]), batch[1]).backward()


def lines(run, name):
    content = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in content if name in line}


def test_parts_of_a_batch_give_the_update_of_the_whole(experiment):
    run = start(experiment, "accumulate=3")  # 8 examples in parts of 3, 3 and 2
    model, _ = fit(run)
    whole = bare(run, backward)
    for ours, theirs in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert not same(model, bare(run, backward, steps=11))


def test_gradients_are_clipped_and_their_norm_is_logged(experiment):
    run = start(experiment, "log_every=4")
    model, _ = fit(run, clip_norm=0.1)
    norms = {}

    def clipped(step, model, optimizer, batch):
        backward(step, model, optimizer, batch)
        norms[step + 1] = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.1).item()

    assert same(model, bare(run, clipped))
    assert lines(run, "train/gradient_norm") == {step: norms[step] for step in (4, 8, 12)}


def test_a_schedule_sets_the_rate_of_every_step_also_after_a_resume(experiment):
    schedule = warm_up(4, cosine(20))

    def scheduled(step, model, optimizer, batch):
        optimizer.param_groups[0]["lr"] = 0.1 * schedule(step)
        backward(step, model, optimizer, batch)

    run = start(experiment, "log_every=1")
    fit(run, schedule=schedule)
    again = resumed_run(experiment, run.record.id, ["steps=20"])
    again.quiet = True
    model, _ = fit(again, schedule=schedule)
    assert same(model, bare(run, scheduled, steps=20))
    rates = lines(again, "train/learning_rate")
    assert rates == {step: pytest.approx(0.1 * schedule(step - 1)) for step in range(1, 21)}


@given(st.integers(1, 50), st.floats(0, 1), st.integers(0, 200))
def test_schedules_stay_between_their_ends(steps, end, step):
    for schedule in (linear(steps, end), cosine(steps, end)):
        assert schedule(0) == 1
        assert min(end, 1) - 1e-12 <= schedule(step) <= 1 + 1e-12
        assert schedule(steps + step) == pytest.approx(end)
    assert warm_up(steps)(steps - 1) == 1
    assert warm_up(steps, linear(steps, end))(steps) == 1
    assert steps_down((steps, 2 * steps))(step) == pytest.approx(
        0.1 ** ((step >= steps) + (step >= 2 * steps))
    )


def test_averaged_parameters_follow_and_are_kept(experiment):
    run = start(experiment)
    _, trainer = fit(run, ema_decay=0.5)
    average = None

    def mixed(average, now):
        return [0.5 * a + 0.5 * n for a, n in zip(average, now, strict=True)]

    def averaged(step, model, optimizer, batch):
        nonlocal average
        if step:
            now = [p.detach().clone() for p in model.parameters()]
            average = now if average is None else mixed(average, now)
        backward(step, model, optimizer, batch)

    model = bare(run, averaged)
    average = mixed(average, model.parameters())
    for ours, theirs in zip(trainer.ema.module.parameters(), average, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (run.checkpoints()[-1] / "ema.safetensors").is_file()


def test_the_best_checkpoint_stays_and_patience_ends_the_training(experiment):
    values = iter([0.1, 0.9, 0.3, 0.2, 0.8, 0.95])
    words = ["evaluate_every=2", "keep_best=max:test/x", "patience=3", "keep_checkpoints=1"]
    run = start(experiment, "steps=40", *words)
    _, trainer = fit(run, evaluate=lambda trainer: {"test/x": next(values)})
    assert trainer.step == 10  # the best came at 4, and three evaluations after it were no better
    assert [folder.name for folder in run.checkpoints()] == ["step-00000004", "step-00000010"]


def test_round_checkpoints_stay(experiment):
    run = start(experiment, "checkpoint_every=2", "keep_checkpoints=1", "keep_every=4")
    fit(run)
    steps = [int(folder.name.removeprefix("step-")) for folder in run.checkpoints()]
    assert steps == [4, 8, 12]


def test_an_unknown_metric_in_keep_best_is_refused(experiment):
    run = start(experiment, "keep_best=max:test/acuracy", "evaluate_every=2")
    with pytest.raises(RunError, match=r"'test/acuracy'.* test/accuracy"):
        fit(run, evaluate=lambda trainer: accuracy(trainer.model, points()))
    with pytest.raises(ConfigError, match="keep_best"):
        start(experiment, "keep_best=test/accuracy")


def test_starting_from_another_runs_weights(experiment):
    first = start(experiment)
    trained, _ = fit(first)
    second = start(experiment, f"init_from={first.record.id}", "steps=1")
    assert second.record.parent == first.record.id
    model, _ = fit(second, lr=0.0)
    assert same(model, trained)
    with pytest.raises(RunError, match="no run 'none'"):
        start(experiment, "init_from=none")


def test_float16_scales_its_loss_and_keeps_float32_weights(experiment):
    run = start(experiment, "precision=float16")
    model, trainer = fit(run)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    state = json.loads((run.checkpoints()[-1] / "state.json").read_text())
    assert state["scaler"]["scale"] == trainer.scaler.get_scale()
    reference = bare(run, backward)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.01, rtol=0.05)


def test_several_optimizers_and_a_step_of_ones_own(experiment):
    """Each layer by an optimizer of its own, the second every other step."""
    run = start(experiment)

    def alternating(trainer, batch):
        loss = trainer.backward(batch)
        for name, optimizer in trainer.optimizer.items():
            if name == "first" or trainer.step % 2 == 0:
                optimizer.step()
        for optimizer in trainer.optimizer.values():
            optimizer.zero_grad()
        return loss

    def make(parameters):
        parameters = list(parameters)
        return {
            "first": torch.optim.Adam(parameters[:2], lr=0.01),
            "second": torch.optim.SGD(parameters[2:], lr=0.1, momentum=0.9),
        }

    half, _ = fit(run, optimizer=make, step=alternating)
    again = resumed_run(experiment, run.record.id, ["steps=20"])
    again.quiet = True
    resumed, _ = fit(again, optimizer=make, step=alternating)
    whole, _ = fit(start(experiment, "steps=20"), optimizer=make, step=alternating)
    assert same(resumed, whole)
    assert not same(resumed, half)


def test_memory_that_runs_out_is_said_with_what_to_try(experiment):
    run = start(experiment)

    def greedy(model, batch):
        return torch.empty(1 << 50).sum()

    with pytest.raises(OutOfMemoryError, match=r"batch_size 8 .*accumulate=2"), run.attempt():
        model = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        Trainer(run, model, optimizer, greedy).fit(Batches(points(), 8))
    assert run.record.error.type == "OutOfMemoryError"


def test_a_checkpoint_that_cannot_be_written_ends_the_training(experiment):
    run = start(experiment, "checkpoint_every=4")
    (run.folder / "checkpoints").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        fit(run)
    assert (run.record.status, run.record.error.type) == ("failed", "StorageError")


def writing(before):
    """The threads since then, but for the one that looks whether a training stalls."""
    return [each for each in threading.enumerate() if each not in before and each.name != "stalls"]


def test_with_checkpoint_failure_continue_the_training_goes_on_to_the_next_checkpoint(
    experiment, capfd
):
    words = ["checkpoint_every=4", "checkpoint_failure=continue", "evaluate_every=10"]
    run = start(experiment, *words)
    in_the_way = run.folder / "checkpoints"
    in_the_way.write_text("in the way")
    before = threading.enumerate()

    def clear(trainer):
        if trainer.step == 10:
            while writing(before):  # until that of step 8 has failed
                time.sleep(0.01)
            in_the_way.unlink()
        return {"test/x": 1.0}

    fit(run, evaluate=clear)
    assert len(re.findall("warning: .*checkpoint", capfd.readouterr().err)) == 2
    assert [folder.name for folder in run.checkpoints()] == ["step-00000012"]


def test_weights_decay_and_biases_do_not():
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 4))
    model[2].weight = nn.Parameter(torch.zeros(4, 8))
    decayed, others = parameter_groups(model, 0.1)
    assert {id(p) for p in decayed["params"]} == {id(model[0].weight), id(model[2].weight)}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert len(others["params"]) == 4
    assert len(parameter_groups(nn.Linear(2, 2, bias=False), 0.1)) == 1


def test_compiled_it_computes_the_same_and_saves_its_own_names(experiment, monkeypatch):
    # The compiler of torch without the one of C, which not every machine has.
    compiled = partial(torch.compile, backend="aot_eager")
    compiler = Mock(wraps=lambda model, options: compiled(model))
    monkeypatch.setattr(torch, "compile", compiler)
    run = start(experiment, "compile=true", "steps=3")
    model, _ = fit(run)
    assert compiler.call_args.args == (model,)
    reference = bare(run, backward, steps=3)
    for ours, theirs in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    plain = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    assert same(run.load_weights(plain), model)


def test_with_the_operations_of_a_step_it_logs_how_well_the_machine_is_used(experiment):
    name = "speed/model_flops_utilization"
    run = start(experiment, "log_every=4")
    plain, _ = fit(start(experiment, "log_every=4"))
    model, _ = fit(run, flops=3 * 8 * 96.0)
    lines = read_metrics(run.folder)
    assert len(lines) == 3
    assert all(0 < line[name] < 1 for line in lines)
    assert same(model, plain)  # measuring the machine draws no random numbers
