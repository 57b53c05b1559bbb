"""The risk on a few draws, against its exact expectation; the limit against that of large n."""

import pytest
from paper_ridgeless.evaluate import limiting_risk
from research_train import evaluate_run, find_member, installed_members, new_run, train_run


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))


def expected_risk(samples, features, signal=5.0, noise=1.0):
    """Exact for Gaussian features: the mean of an inverse Wishart matrix."""
    if features < samples - 1:
        return noise * features / (samples - features - 1)
    return signal * (1 - samples / features) + noise * samples / (features - samples - 1)


@pytest.mark.parametrize("features", [20, 200])
def test_the_risk_is_what_theory_expects(features):
    experiment = find_member("ridgeless", installed_members()).experiment()
    words = ["samples=50", f"features={features}", "steps=400", "tensorboard=false"]
    run = new_run(experiment, words)
    train_run(run, experiment)
    risk = run.record.metrics["risk"]
    assert risk == pytest.approx(expected_risk(50, features), rel=0.1)  # five standard errors
    assert evaluate_run(run, experiment).metrics["risk"] == pytest.approx(risk)


@pytest.mark.parametrize("ratio", [0.2, 0.8, 1.25, 5.0])
def test_the_limit_is_that_of_many_samples(ratio):
    exact = expected_risk(1_000_000, int(ratio * 1_000_000))
    assert limiting_risk(ratio, 5.0, 1.0) == pytest.approx(exact, rel=1e-4)
