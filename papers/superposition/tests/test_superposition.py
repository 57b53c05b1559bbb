"""The inputs, the geometry of known arrangements, and a short training."""

import math

import pytest
import torch
from paper_superposition.geometry import geometry
from paper_superposition.model import draw_features
from research_train import evaluate_run, find_member, installed_members, new_run, train_run


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))


def polygon(corners):
    angles = torch.arange(corners) * 2 * math.pi / corners
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_a_feature_is_there_with_its_density_and_then_uniform():
    x = draw_features(torch.tensor([[0.2], [1.0]]).expand(2, 1000), features=50)
    present = x[0][x[0] > 0]
    assert len(present) / x[0].numel() == pytest.approx(0.2, abs=0.01)
    assert (x[1] > 0).all()
    for values in (present, x[1]):
        assert values.mean().item() == pytest.approx(0.5, abs=0.02)
        assert values.var().item() == pytest.approx(1 / 12, abs=0.01)


@pytest.mark.parametrize(
    ("arrangement", "features", "dimensionality", "opposite"),
    [
        (torch.eye(5)[:, :2], 2, 1.0, 0.0),  # two dedicated dimensions, three features ignored
        (polygon(4), 4, 1 / 2, -1.0),  # antipodal pairs
        (polygon(3), 3, 2 / 3, -1 / 2),
        (polygon(5), 5, 2 / 5, math.cos(math.radians(144))),
    ],
)
def test_arrangements_have_the_dimensionality_that_the_paper_gives(
    arrangement, features, dimensionality, opposite
):
    found = geometry(arrangement)
    assert found["features"] == features
    assert found["dimensionality"] == pytest.approx(dimensionality, abs=1e-6)
    assert found["nearest_opposite"] == pytest.approx(opposite, abs=1e-6)
    assert found["dimensions_per_feature"] == pytest.approx(2 / features)
    assert found["overlap"] == pytest.approx(1 / dimensionality - 1, abs=1e-6)


def test_a_grid_of_two_features_trains_and_its_phases_are_drawn():
    experiment = find_member("superposition", installed_members()).experiment()
    grid = ["densities=[1.0, 0.1]", "importances=[0.1, 1.0]", "features=2", "hidden=1"]
    run = new_run(experiment, [*grid, "steps=60", "learning_rate=0.03", "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    # Of dense features a single dimension keeps the one that matters more.
    assert run.record.metrics["density-1/importance-0.1/last"] < 0.3
    assert evaluate_run(run, experiment).metrics == run.record.metrics
    assert (run.folder / "figures" / "phases.png").is_file()
