"""The example of section 5, shortly."""

import math

import pytest
from paper_amsgrad.problem import SLOPES
from research_train import evaluate_run, find_member, installed_members, new_run, train_run


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))


def trained(*words):
    experiment = find_member("amsgrad", installed_members()).experiment()
    run = new_run(experiment, ["tensorboard=false", "log_every=100", *words])
    run.quiet = True
    train_run(run, experiment)
    assert evaluate_run(run, experiment).metrics == run.record.metrics
    return run.record.metrics["x"]


def by_hand(amsgrad, steps):
    """Adam of Kingma and Ba, and AMSGrad, in plain numbers."""
    x = m = v = largest = 0.0
    for t in range(1, steps + 1):
        g = SLOPES[(t - 1) % 101].item()
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        largest = max(largest, v)
        second = (largest if amsgrad else v) / (1 - 0.99**t)
        x -= 0.5 / math.sqrt(t) * m / (1 - 0.9**t) / (math.sqrt(second) + 1e-8)
        x = min(1, max(-1, x))
    return x


@pytest.mark.parametrize("optimizer", ["adam", "amsgrad"])
def test_the_steps_are_those_of_the_algorithm(optimizer):
    x = trained(f"optimizer={optimizer}", "steps=700")
    assert x == pytest.approx(by_hand(optimizer == "amsgrad", 700), abs=1e-4)


def test_the_functions_sum_to_one_that_falls_to_the_left():
    assert SLOPES.sum() == 10
