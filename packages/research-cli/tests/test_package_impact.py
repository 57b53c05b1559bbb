"""`research-cli package impact`: what the papers would feel of an unreleased change."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from workspaces import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """research-train is released as 0.0.8 with the code it has now; three papers."""
    workspace = Workspace(tmp_path / "workspace")
    for paper in ("tiny", "pinned", "without"):
        workspace.add_paper(paper)
    workspace.add_release("research-train", "0.0.8")
    workspace.require("research-train")
    workspace.require("research-train==0.0.8", paper="pinned")
    yield workspace
    for folder in workspace.unpacked_releases():
        shutil.rmtree(folder)


def impacts(workspace: Workspace, code: int = 0) -> dict[str, dict[str, object]]:
    words = ("package", "impact", "research-train", "--steps", "10", "--json")
    done = workspace.run("research-cli", *words)
    assert done.code == code, done.errors
    assert "pinned: under" not in done.errors  # only those that are tried are announced
    return {each["paper"]: each for each in json.loads(done.output)["impacts"]}


def test_who_feels_what(workspace: Workspace) -> None:
    found = impacts(workspace)
    assert found["tiny"]["verdict"] == "bit-identical"
    assert found["pinned"]["message"] == "runs the release 0.0.8"
    assert found["without"]["message"] == "doesn't use research-train"
    # A paper whose numbers, and whose life, hang on the version.
    train = workspace.root / "papers/tiny/paper_tiny/train.py"
    text = train.read_text()
    released = "research_train.__version__ == '0.0.8'"
    train.write_text(
        "import research_train\n"
        + text.replace(
            "return classification_loss(model, batch) *",
            f"return classification_loss(model, batch) * (1.5 - ({released}) / 2) *",
        )
    )
    found = impacts(workspace)
    assert found["tiny"]["verdict"] == "other numbers"
    assert found["tiny"]["metric"] in ("train/loss", "train/gradient_norm")
    assert 0.3 < float(str(found["tiny"]["largest"])) < 0.7
    train.write_text(f"import research_train\nassert {released}, 'needs what was removed'\n{text}")
    found = impacts(workspace, code=1)
    assert found["tiny"]["verdict"] == "crashes"
    assert "needs what was removed" in str(found["tiny"]["message"])


def test_an_unknown_package_and_one_without_a_release_are_refused(workspace: Workspace) -> None:
    workspace.run("research-cli", "package", "impact", "research-trian").refused(
        2, "'research-trian'", "'research-train'?"
    )
    shutil.rmtree(workspace.root / "packages/research-train/releases")
    workspace.run("research-cli", "package", "impact", "research-train").refused(
        1, "research-train has no release"
    )


def test_a_paper_with_sealed_runs_is_compared_by_their_replay(workspace: Workspace) -> None:
    source = workspace.copy_packages()
    paper = workspace.root / "papers/tiny"
    (paper / "claims.yaml").write_text(
        "source: Nobody\nclaims:\n"
        "  - {name: answer, what: An answer., kind: value, metric: answer, published: 7,\n"
        "     tolerance: 0, reason: nothing is random, experiment: second, seeds: 1,\n"
        "     overrides: {seven: [answer=7]}}\n"
    )
    assert workspace.train("second", "answer=7").code == 0
    seeds = source / "research_train/state/random_state.py"
    seeds.write_text(seeds.read_text().replace("manual_seed(seed)", "manual_seed(seed + 1)"))
    words = ("package", "impact", "research-train", "--steps", "10", "--json")
    done = workspace.run("research-cli", *words)
    assert done.code == 0, done.errors
    found = {each["paper"]: each for each in json.loads(done.output)["impacts"]}
    assert found["tiny"]["verdict"] == "bit-identical"
    assert "replay of 1 setting" in str(found["tiny"]["message"])
    assert len(workspace.records()) == 1
