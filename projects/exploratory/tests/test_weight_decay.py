"""The experiment runs and is recorded like a paper's."""

import torch
from exploratory_weight_decay_2026_11_24.train import spirals
from research_train import find_member, installed_members, new_run, read_record, train_run


def test_spirals_have_as_many_wrong_labels_as_asked_for():
    torch.manual_seed(0)
    points, labels = spirals(20_000, noise=0.2)
    assert points.shape == (20_000, 2)
    clean = torch.arange(20_000) % 2
    assert abs((labels != clean).float().mean() - 0.1) < 0.01  # half of the redrawn ones


def test_it_trains_and_is_recorded(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    experiment = find_member("exploratory", installed_members()).experiment("weight-decay")
    run = new_run(experiment, ["steps=60", "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    record = read_record(run.folder)
    assert (record.paper, record.status) == ("exploratory", "completed")
    assert record.metrics.keys() == {"train/accuracy", "test/accuracy"}
    assert record.metrics["test/accuracy"] > 0.55  # chance is 0.5
