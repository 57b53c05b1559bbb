"""`research-cli paper pin`, `unpin` and `exec`, and the tests of a pinned paper."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from research_train import __version__
from workspaces import Result, Workspace

SHOW = "import research_train, sys; print(research_train.__version__)"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace with the paper `tiny` and research-train, released as 0.0.7 and 0.0.8."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    for version in ("0.0.7", "0.0.8"):
        workspace.add_release("research-train", version)
    yield workspace
    for folder in workspace.unpacked_releases():
        shutil.rmtree(folder)


def paper(workspace: Workspace, *words: str) -> Result:
    return workspace.run("research-cli", "paper", *words)


def test_a_pin_changes_one_line_and_is_what_runs(workspace: Workspace) -> None:
    file = workspace.root / "papers/tiny/pyproject.toml"
    file.write_text("# mine\n" + file.read_text().replace("[]", "[\n  # ours\n]"))
    before = file.read_text()
    done = paper(workspace, "pin", "tiny", "research-train", "--json")
    assert done.code == 0, done.errors
    assert json.loads(done.output) == {
        "paper": "tiny",
        "requirement": "research-train==0.0.8",
        "before": None,
        "runs": "0.0.8",
        "release": True,
    }
    lines = file.read_text().splitlines()
    assert [line for line in before.splitlines() if line not in lines] == []
    assert '"research-train==0.0.8"' in file.read_text()
    assert (workspace.root / "uv.lock").is_file()
    ran = paper(workspace, "exec", "tiny", "--", "python", "-c", SHOW)
    assert ran.output == "0.0.8\n"
    done = paper(workspace, "pin", "tiny", "research-train<0.0.8")
    assert "research-train==0.0.8 -> research-train<0.0.8" in done.output
    assert paper(workspace, "exec", "tiny", "python", "-c", SHOW).output == "0.0.7\n"
    done = paper(workspace, "unpin", "tiny", "research-train")
    assert f"research-train {__version__}, the workspace's" in done.output
    assert paper(workspace, "exec", "tiny", "python", "-c", SHOW).output == f"{__version__}\n"


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["pin", "tiny", "research-train==0.0.1"], 1, ["0.0.8, 0.0.7", "research-train==0.0.1"]),
        (["pin", "tiny", "research-trian"], 2, ["'research-trian'", "'research-train'?"]),
        (["pin", "tiny", "research-train=>1"], 2, ["'research-train=>1'", "PACKAGE==0.1.0"]),
        (["pin", "tinny", "research-train"], 2, ["'tinny'", "'tiny'?"]),
        (["pin", "tiny", "research-viz"], 2, ["no package 'research-viz'"]),
        (["unpin", "tiny", "research-train==1"], 2, ["'research-train==1'", "`research-train`"]),
        (["exec", "tiny"], 2, ["paper exec tiny -- "]),
        (["exec", "tiny", "--", "no-such-program"], 2, ["'no-such-program'", "PATH"]),
    ],
)
def test_a_refused_pin_or_command_is_one_message_and_changes_nothing(
    workspace: Workspace, words: list[str], code: int, parts: list[str]
) -> None:
    file = workspace.root / "papers/tiny/pyproject.toml"
    before = file.read_bytes()
    paper(workspace, *words).refused(code, *parts)
    assert file.read_bytes() == before
    assert not (workspace.root / "uv.lock").exists()


def test_a_pin_under_which_the_paper_does_not_start_is_taken_back(workspace: Workspace) -> None:
    [wheel] = workspace.root.glob("packages/research-train/releases/*-0.0.8-*.whl")
    wheel.write_bytes(wheel.read_bytes()[:-1])
    file = workspace.root / "papers/tiny/pyproject.toml"
    before = file.read_bytes()
    paper(workspace, "pin", "tiny", "research-train==0.0.8").refused(1, "not research-train 0.0.8")
    config = workspace.root / "papers/tiny/paper_tiny/config.py"
    config.write_text("from research_train import NoSuchName\n")
    paper(workspace, "pin", "tiny", "research-train==0.0.7").refused(
        1, "tiny", "research-train==0.0.7", "NoSuchName", "Nothing was changed"
    )
    assert file.read_bytes() == before


def test_pytest_runs_a_pinned_papers_tests_under_its_pin(workspace: Workspace) -> None:
    tests = workspace.root / "papers/tiny/tests"
    tests.mkdir()
    (tests / "test_tiny.py").write_text(
        "import research_train\n\n\n"
        "def test_version():\n    assert research_train.__version__ == '0.0.8'\n\n\n"
        "def test_more():\n    pass\n"
    )
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "papers"]
    workspace.require("research-train==0.0.8")
    done = workspace.run_program(*pytest_here)
    assert (done.code, ": 2 passed" in done.output) == (0, True), done.output
    workspace.require("research-train==0.0.7")
    done = workspace.run_program(*pytest_here)
    assert done.code == 1
    assert "test_tiny.py::under the releases that tiny runs" in done.output
    assert "assert '0.0.7' == '0.0.8'" in done.output
    workspace.require("research-train")
    assert f"assert '{__version__}' == '0.0.8'" in workspace.run_program(*pytest_here).output
