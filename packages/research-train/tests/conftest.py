"""A workspace with tiny papers for each test."""

from pathlib import Path

import pytest
from hypothesis import settings
from research_train import Experiment
from workspaces import UvWorkspace, Workspace

# By default a slow example fails, as one may be on a machine that does other work too.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the paper `tiny`."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    return workspace


@pytest.fixture
def experiment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The default experiment of `tiny`, importable in this process."""
    return workspace.import_here(monkeypatch)


@pytest.fixture(scope="session")
def uv_workspace(tmp_path_factory: pytest.TempPathFactory) -> UvWorkspace:
    """Papers alpha and beta, synced by uv."""
    return UvWorkspace(tmp_path_factory.mktemp("papers of two"))
