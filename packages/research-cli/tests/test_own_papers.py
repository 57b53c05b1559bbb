"""This workspace's own papers run what they require: one a release, its neighbour the newest."""

import json
import os
from pathlib import Path
from typing import Any

import fork_server
import pytest
import research_train
from research_data import this_workspace


def trained(paper: str, *words: str) -> dict[str, Any]:
    words = ("--paper", paper, "--json", "--quiet", "steps=101", "tensorboard=false", *words)
    done = fork_server.run("train", words, Path.cwd(), os.environ)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(
        (Path(json.loads(done.stdout)["run"]) / "run.json").read_text()
    )
    return record


def test_a_pinned_paper_and_its_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    pinned, newest = trained("amsgrad"), trained("mnist1d", "model=logistic")
    workspace = this_workspace()
    assert workspace is not None
    wheel = "packages/research-train/releases/research_train-0.1.0-py3-none-any.whl.sha256"
    assert pinned["packages"]["research-train"] == "0.1.0"
    assert pinned["releases"]["research-train"] == (workspace / wheel).read_text().split()[0]
    # A release runs with the siblings that it was tested with.
    assert pinned["releases"].keys() == {"research-data", "research-train", "research-viz"}
    assert newest["packages"]["research-train"] == research_train.__version__ != "0.1.0"
    assert newest["releases"] == {}
