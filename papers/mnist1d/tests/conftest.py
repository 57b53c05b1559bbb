"""A short training of any experiment, its data made once for all tests."""

import pytest
from research_train import (
    evaluate_run,
    find_member,
    installed_members,
    new_run,
    resumed_run,
    train_run,
)


@pytest.fixture(scope="session")
def assets_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("assets")


@pytest.fixture(autouse=True)
def assets(assets_folder, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(assets_folder))


@pytest.fixture
def member():
    return find_member("mnist1d", installed_members())


@pytest.fixture
def trained(member):
    """Train an experiment, and see that its evaluation gives what it recorded."""

    def train(name, *words):
        experiment = member.experiment(name)
        run = begun(experiment, *words)
        assert evaluate_run(run, experiment).metrics == run.record.metrics
        return run

    return train


@pytest.fixture
def resumed(member):
    """Train an experiment for some steps, then in a second go to the end."""

    def train(name, first, steps, *words):
        experiment = member.experiment(name)
        run = begun(experiment, *words, f"steps={first}")
        again = resumed_run(experiment, str(run.folder), [f"steps={steps}"])
        again.quiet = True
        train_run(again, experiment)
        return again

    return train


def begun(experiment, *words):
    run = new_run(experiment, ["tensorboard=false", *words])
    run.quiet = True
    train_run(run, experiment)
    return run


@pytest.fixture
def weights():
    """The bytes of a run's last model."""
    return lambda run: (run.last_checkpoint() / "model.safetensors").read_bytes()
