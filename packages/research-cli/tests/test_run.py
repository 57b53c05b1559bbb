"""`research-cli run ...` as a user types it, over real runs of a tiny paper."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fork_server import Child
from research_cli.completion import member_names, run_ids, run_keys
from workspaces import Workspace

PACKAGES = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("research-cli")


class Runs:
    """A workspace with the runs `first` and `second` of tiny; commands typed in it."""

    def __init__(self, folder: Path):
        self.workspace = Workspace(folder / "workspace")
        self.workspace.add_paper()
        words = ("--quiet", "--name")
        self.first: Path = self.workspace.train(*words, "first").folder
        self.second: Path = self.workspace.train(
            *words, "second", "seed=1", "optimizer.learning_rate=1e-1"
        ).folder

    def __call__(self, *words: str, code: int = 0) -> str:
        done = self.workspace.run("research-cli", "run", *words)
        assert done.code == code, done.output + done.errors
        assert "Traceback" not in done.errors
        self.errors = done.errors
        return done.output

    def json(self, *words: str) -> Any:
        return json.loads(self(*words, "--json"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Shared by the tests, each of which leaves it as it was."""
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def sleeping(runs: Runs) -> Iterator[Child]:
    """A run of tiny that takes its time, once it has logged its first steps."""
    words = ("--name", "slow", "sleep=0.2", "steps=2000", "log_every=1", "evaluate_every=2000")
    process = runs.workspace.start("train", "--paper", "tiny", "--quiet", *words)
    try:
        deadline = time.monotonic() + 60
        while not list(runs.workspace.outputs.glob("tiny/[!.]*-slow-*/metrics.jsonl")) or (
            runs.workspace.last_step() < 2
        ):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()
        for folder in runs.workspace.outputs.glob("tiny/[!.]*-slow-*"):
            shutil.rmtree(folder)


def test_list_and_show(runs: Runs) -> None:
    rows = runs("list").splitlines()
    head = ["run", "name", "status", "when", "took", "seed", "optimizer.learning_rate", "metrics"]
    assert rows[0].split() == head  # what differs between the two is a column
    assert runs.second.name in rows[1] and runs.first.name in rows[2]
    assert "completed" in rows[1] and "test/accuracy" in rows[1]
    assert "2 runs" in rows[3] and str(runs.workspace.outputs) in rows[3]
    chosen = runs("list", "--where", "learning_rate>0.05", "--sort", "test/accuracy")
    assert runs.second.name in chosen and runs.first.name not in chosen
    [listed] = runs.json("list", "--where", "seed=1", "--limit", "3")["runs"]
    assert (listed["name"], listed["status"], listed["problem"]) == ("second", "completed", None)
    assert set(listed["metrics"]) == {"test/accuracy"} and listed["seconds"] > 0
    assert listed["config"]["optimizer.learning_rate"] == 0.1
    assert "learning_rate" not in runs("list", "--columns", "none")
    wide = runs("list", "--columns", "betas,steps", "--metrics").splitlines()[0].split()
    assert wide[-3:] == ["optimizer.betas", "steps", "test/accuracy"]
    for words, first in ((["--min"], "smallest"), (["--max"], "largest"), ([], "largest")):
        assert runs.json("list", "--sort", "accuracy", *words)["sorted"]["first"] == first
        assert f"{first} first" in runs("list", "--sort", "accuracy", *words)
    shown = runs("show", "first")
    for part in (
        str(runs.first),
        "fits: ",
        "optimizer.learning_rate",
        "step-00000020",
        "paper-tiny",
    ):
        assert part in shown
    value = runs.json("show", runs.second.name[:20])
    assert value["config"]["optimizer.betas"] == [0.9, 0.99]
    assert value["record"]["seal"] and value["bytes"] > sum(value["checkpoints"].values()) > 0


def test_runs_and_keys_are_completed(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESEARCH_ASSETS", runs.workspace.environment["RESEARCH_ASSETS"])
    assert run_ids("") == run_ids("20") == [runs.second.name, runs.first.name]
    assert run_ids(f"tiny/{runs.first.name[:22]}") == [f"tiny/{runs.first.name}"]
    assert run_keys("optimizer.l") == ["optimizer.learning_rate"]
    assert "test/accuracy" in run_keys("test") and run_ids("x") == run_ids("[") == []
    assert member_names("mnist") == ["mnist1d"] and "exploratory" in member_names("")


def test_compare_shows_what_differs_and_draws(runs: Runs, tmp_path: Path) -> None:
    shown = runs("compare", "first", "second")
    assert shown.splitlines()[0].split() == ["first", "second", "difference"]
    assert shown.splitlines()[1].split() == ["run", runs.first.name, runs.second.name]
    assert "optimizer.learning_rate  0.01" in shown and "test/accuracy" in shown
    assert "batch_size" not in shown and "torch" not in shown
    compared = runs.json("compare", "first", "second", "--plot", str(tmp_path / "curves.png"))
    assert compared["differences"]["config"]["seed"] == [0, 1]
    assert compared["changed_files"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "curves.svg"]
    assert "train/loss" in (tmp_path / "curves.svg").read_text()
    [png, _] = runs.json("compare", "first", "--plot", "second", "--metric", "test/accuracy")[
        "figures"
    ]
    assert Path(png).read_bytes().startswith(b"\x89PNG")
    assert len(runs("list").splitlines()) == 4  # a folder of figures is no run


def test_changed_code_is_named(runs: Runs) -> None:
    code = runs.workspace.root / "papers" / "tiny" / "paper_tiny" / "train.py"
    before = code.read_text()
    code.write_text(before.replace("nn.Linear(4, 16)", "nn.Linear(4, 16, bias=True)"))
    third = runs.workspace.train("--quiet").folder
    code.write_text(before)
    try:
        shown = runs("compare", runs.first.name, third.name)
        assert "differ: papers/tiny/paper_tiny/train.py\n" in shown
        assert "source" in shown and "fingerprints are equal" not in shown
        record = json.loads((third / "run.json").read_text())
        archive = runs.workspace.outputs / ".sources" / f"{record['source']}.tar.gz"
        assert "10 min" in runs("remove", third.name)
        os.utime(archive, (time.time() - 3600,) * 2)
        would = runs("remove", third.name)
        assert "would remove" in would and "--yes" in would and third.exists()
        assert f"removed {archive}, " in runs("remove", third.name, "--yes")
        assert not third.exists() and not archive.exists() and runs.first.exists()
    finally:
        shutil.rmtree(third, ignore_errors=True)


def test_tags_and_notes_leave_the_evidence_sealed(runs: Runs) -> None:
    assert runs.json("tag", "first", "good", "table-1")["tags"] == ["good", "table-1"]
    runs("note", "first", "the loss jumps")
    assert runs.first.name in runs("list", "--tag", "good")
    assert "the loss jumps" in runs("show", "first")
    evaluated = runs.workspace.run("evaluate", "--paper", "tiny", "--run", runs.first.name)
    assert evaluated.code == 0, evaluated.errors
    assert runs.json("tag", "first", "good", "table-1", "--remove")["tags"] == []
    runs("note", "first", "")
    assert runs.json("show", "first")["note"] is None


def test_a_running_run_is_watched_and_let_alone(runs: Runs, sleeping: Child) -> None:
    slow = next(runs.workspace.outputs.glob("tiny/[!.]*-slow-*"))
    assert runs.json("list", "--status", "running")["runs"][0]["id"] == slow.name
    for words in (["tag", "slow", "x"], ["note", "slow", "x"], ["remove", "slow", "--yes"]):
        runs(*words, code=1)
        assert f"{slow.name} is running" in runs.errors and str(sleeping.pid) in runs.errors
    watch = subprocess.Popen(
        [COMMAND, "run", "watch"],
        env=runs.workspace.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C may be ignored where the tests run, in the background of a shell.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert watch.stdout is not None
    assert watch.stdout.readline() == f"{slow} (running)\n"
    assert watch.stdout.readline().startswith("step 1  train/loss ")
    watch.send_signal(signal.SIGINT)
    _, errors = watch.communicate(timeout=60)
    assert watch.returncode == 130 and slow.name in errors
    assert sleeping.poll() is None
    words = ("--metric", "loss", "--json")
    following = runs.workspace.start("research-cli", "run", "watch", "slow", *words)
    sleeping.kill()
    lines = [json.loads(line) for line in following.communicate(timeout=60)[0].splitlines()]
    assert [point["step"] for point in lines[:3]] == [1, 2, 3]
    assert set(lines[0]) == {"step", "time", "train/loss"}
    assert lines[-1]["status"] == "interrupted"


def test_watch_at_a_terminal(
    runs: Runs, at_a_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in runs.workspace.environment.items():
        monkeypatch.setenv(name, value)
    shown = at_a_terminal(COMMAND, "run", "watch", "second")
    assert "step 20 of 20" in shown and "train/loss" in shown and "▁" in shown
    assert f"{runs.second.name} is completed" in shown


def test_one_message_and_the_exit_code(runs: Runs) -> None:
    shutil.copytree(runs.first, runs.workspace.outputs / "other" / "foreign")
    damaged = runs.workspace.outputs / "tiny" / "damaged"
    shutil.copytree(runs.first, damaged)
    (damaged / "run.json").write_text("{")
    record = runs.workspace.outputs / "other" / "foreign" / "run.json"
    changed = {"paper": "other", "assets": {"other-points": "0123"}}  # as of `paper new other`
    record.write_text(json.dumps(json.loads(record.read_text()) | changed))
    record.with_name("config.yaml").write_text("learning_rate: 0.1\n")
    try:
        for words, code, message in (
            (["list", "--where", "optimizer.learning_rat>1"], 2, "'optimizer.learning_rate'"),
            (["list", "--paper", "tinny"], 2, "'tiny'?"),
            (["list", "--columns", "optimizer.learning_rat"], 2, "'optimizer.learning_rate'"),
            (["list", "--max"], 2, "--sort"),
            (["list", "--sort", "accuracy", "--max", "--min"], 2, "--min and --max"),
            (["watch", "first", "--metric", "train/lost"], 2, "'train/loss'"),
            (["show", "nothing"], 1, "'nothing'"),
            (["show", "20"], 1, "2 runs: tiny/"),
            (["compare", "first"], 2, "two or more"),
            (["compare", "first", "foreign"], 2, "--any-paper"),
            (["compare", "first", "damaged"], 1, "run.json: damaged"),
            (["compare", "first", "second", "--plot", "--metric", "trane/loss"], 2, "train/loss"),
            (["compare", "first", "second", "--metric", "train/loss"], 2, "--plot"),
            (["tag", "damaged", "x"], 1, "run.json: damaged"),
        ):
            runs(*words, code=code)
            assert runs.errors.count("error: ") == 1
            assert message in runs.errors
        listed = runs("list")
        assert "unreadable" in listed and "damaged" in listed and "Expecting" in listed
        assert "copied by hand" in listed and "placeholder" in listed
        assert "problem      damaged" in runs("show", "damaged")
    finally:
        shutil.rmtree(damaged)
        shutil.rmtree(runs.workspace.outputs / "other")
