"""Several fits of one run: one count of steps, one record, exact on a resume."""

import pytest
import torch
from research_data import Batches
from research_train import RunError, Trainer, classification_loss, new_run, resumed_run
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from workspaces import comparable

FILES = ("model.safetensors", "optimizer.safetensors", "state.json")


def points():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(32, 4, generator=generator)
    return inputs, (inputs.sum(dim=1) > 0).long()


def last(folder):
    return sorted((folder / "checkpoints").glob("step-*"))[-1]


def two_fits(run, schedule=None, steps=None):
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(run, model, optimizer, classification_loss, schedule=schedule)
    with run.attempt():
        trainer.fit(Batches(points(), 8), steps=steps)
        trainer.fit(Batches(points(), 8))
        run.record.metrics = {}
    return model, trainer


def start(experiment, *words):
    run = new_run(experiment, ["steps=6", "batch_size=8", "log_every=1", *words])
    run.quiet = True
    return run


def test_a_second_fit_counts_on_and_its_schedule_begins_anew(experiment):
    schedule = lambda step: 0.5**step  # noqa: E731
    run = start(experiment)
    model, trainer = two_fits(run, schedule, steps=5)
    assert (trainer.step, trainer.phase_step) == (11, 6)
    assert [line["step"] for line in comparable(run.folder)] == list(range(1, 12))
    assert last(run.folder).name == "step-00000011"
    assert torch.equal(load_file(last(run.folder) / "model.safetensors")["weight"], model.weight)
    torch.manual_seed(run.config.seed)
    bare = nn.Linear(4, 2)
    bare.load_state_dict(load_file(run.checkpoint_folder(5) / "model.safetensors"))
    inputs, targets = points()
    for step in range(6):
        rows = slice(step % 4 * 8, step % 4 * 8 + 8)
        bare.zero_grad()
        cross_entropy(bare(inputs[rows]), targets[rows]).backward()
        torch.optim.SGD(bare.parameters(), lr=0.1 * schedule(step)).step()
    assert torch.equal(bare.weight, model.weight)


def test_a_phase_that_was_followed_keeps_its_length(experiment):
    run = start(experiment)
    two_fits(run)
    again = resumed_run(experiment, run.record.id, ["steps=8"])
    with pytest.raises(RunError, match=r"phase 0 .*\b6\b.*\b8\b"):
        two_fits(again)
    other = start(experiment)
    two_fits(other, steps=5)
    longer = resumed_run(experiment, other.record.id, ["steps=8"])
    longer.quiet = True
    _, trainer = two_fits(longer, steps=5)
    assert trainer.step == 13


def test_killed_in_any_phase_it_ends_as_one_never_stopped(workspace):
    whole = workspace.train("phases").folder
    for steps in ((2,), (8, 10), (11, 19), (20,)):
        run = None
        for step in steps:
            workspace.environment["KILL_AT"] = str(step)
            words = [] if run is None else ["--resume", run]
            assert workspace.train("phases", *words).code == -9
            run = workspace.records()[-1]["id"]
        del workspace.environment["KILL_AT"]
        resumed = workspace.train("phases", "--resume", run).folder
        for name in FILES:
            assert (last(resumed) / name).read_bytes() == (last(whole) / name).read_bytes(), name
        assert comparable(resumed) == comparable(whole)
        kept = {path.name for path in (whole / "checkpoints").iterdir()}
        assert {path.name for path in (resumed / "checkpoints").iterdir()} == kept
        assert "step-00000009" in kept  # the first phase's end


def test_an_own_step_on_two_processes_is_that_of_one(workspace):
    """Batches of 9 and 5, so parts differ; the second phase has a head drawn after the first."""
    one = workspace.train("phases", "own=true").folder
    two = workspace.train("phases", "own=true", "--nproc", "2").folder
    first = load_file(one / "checkpoints/step-00000009/model.safetensors")
    second = load_file(two / "checkpoints/step-00000009/model.safetensors")
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(comparable(one), comparable(two), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)
