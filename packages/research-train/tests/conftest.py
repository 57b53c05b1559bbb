"""A workspace with tiny papers for each test."""

import sys
from pathlib import Path

import pytest
from research_train import Experiment, find_member, installed_members
from workspaces import UvWorkspace, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace with the paper `tiny`."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    return workspace


@pytest.fixture
def experiment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The default experiment of `tiny`, importable in this process."""
    monkeypatch.syspath_prepend(str(workspace.site))
    monkeypatch.setenv("RESEARCH_ASSETS", str(workspace.root / "assets"))
    for module in [name for name in sys.modules if name.split(".")[0] == "paper_tiny"]:
        monkeypatch.delitem(sys.modules, module)
    return find_member("tiny", installed_members()).experiment()


@pytest.fixture(scope="session")
def uv_workspace(tmp_path_factory: pytest.TempPathFactory) -> UvWorkspace:
    """Papers alpha and beta, synced by uv."""
    return UvWorkspace(tmp_path_factory.mktemp("papers of two"))
