"""A run that has used up its minutes, whose loss is no number, or that does no step for long."""

import time
from pathlib import Path

import torch
from research_data import Batches
from research_train import Trainer, classification_loss, new_run
from research_train.loop import stalls
from torch import nn


def weights(folder, step):
    return (folder / f"checkpoints/step-{step:08d}/model.safetensors").read_bytes()


def test_max_minutes_ends_at_a_checkpoint_from_which_it_goes_on_to_the_same_bytes(workspace):
    whole = workspace.train().folder
    stopped = workspace.train("max_minutes=0.001", "sleep=0.1")
    assert stopped.code == 142, stopped.errors
    [record] = [each for each in workspace.records() if each["id"] != whole.name]
    assert record["status"] == "interrupted"
    assert "max_minutes" in record["error"]["message"]
    assert f"train --resume {record['id']}" in stopped.errors.splitlines()[-1]
    run = workspace.outputs / "tiny" / record["id"]
    [first] = (run / "checkpoints").glob("step-*")
    assert first.name == "step-00000001", "one step, however few the minutes"
    again = workspace.train("--resume", record["id"])  # its budget is that of each attempt
    assert again.code == 142
    assert (run / "checkpoints/step-00000002").exists()
    ended = workspace.train("--resume", record["id"], "max_minutes=0")
    assert ended.code == 0, ended.errors
    assert weights(run, 20) == weights(whole, 20)


def test_max_minutes_stops_a_training_of_two_processes_together(workspace):
    words = ("shared", "max_minutes=0.001", "sleep=0.1", "--nproc", "2")
    stopped = workspace.train(*words)
    assert stopped.code == 142, stopped.errors
    [record] = workspace.records()
    assert record["status"] == "interrupted"
    assert (workspace.outputs / "tiny" / record["id"] / "checkpoints/step-00000001").exists()


def test_a_loss_that_is_no_number_ends_a_run_with_the_step_and_the_checkpoint_before(workspace):
    result = workspace.train("nan_at=11")
    result.refused(1, "nan", "step 11", "step-00000008")
    [record] = workspace.records()
    assert (record["status"], record["error"]["type"]) == ("failed", "NotFiniteError")
    kept = (workspace.outputs / "tiny" / record["id"]).glob("checkpoints/step-*")
    assert [each.name for each in kept] == ["step-00000008"]
    early = workspace.train("nan_at=2")
    assert "step 2" in early.errors and "checkpoint" in early.errors


def test_a_stall_is_said_with_the_line_that_is_run(experiment, monkeypatch, capsys):
    monkeypatch.setattr(stalls, "PATIENCE", 0.01)
    monkeypatch.setattr(stalls, "POLL", 0.01)
    run = new_run(experiment, ["steps=2", "tensorboard=false"], quiet=True)
    said = []

    def slow(trainer, batch):
        deadline = time.monotonic() + 60
        while trainer.step == 1 and not any("no step for" in line for line in said):
            said.append(capsys.readouterr().err)
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return trainer.train_step(batch)

    with run.attempt():
        model = nn.Linear(2, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        trainer = Trainer(run, model, optimizer, classification_loss, step=slow)
        data = torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)
        trainer.fit(Batches(data, 2, shuffle=True, seed=0))
        run.record.metrics = {}
    [line] = [text for text in said if "no step for" in text]
    assert "after step 1" in line and Path(__file__).name in line
