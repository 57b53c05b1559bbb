"""`research-cli run rerun`: a run again from its archived code, in an environment of its own."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from hub_server import add_repo, running_hub
from synced_paper import SyncedPaper
from workspaces import COMMANDS, Result, Workspace


def add_tracker(site: Path) -> Path:
    """A folder of installed packages, with one that names the tracker `own`.

    It starts no follower: this paper's environment has research-train for `train` alone.
    """
    information = site / "own_tracker-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        "Metadata-Version: 2.3\nName: own-tracker\nVersion: 1.0\n"
    )
    (information / "entry_points.txt").write_text(
        "[research_train.trackers]\nown = own_tracker:Own\n"
    )
    return site


class Paper(SyncedPaper):
    """The paper alpha with its completed runs `old`, limited and tracked, `without_checkpoint`."""

    def __init__(self, root: Path):
        super().__init__(root)
        site = str(add_tracker(root / "site"))
        limited = ("--quiet", "max_minutes=30", "trackers=[own]")
        self.old = self.train(*limited, PYTHONPATH=site).folder
        self.without_checkpoint = self.train("--quiet", "second").folder

    def rerun(self, *words: str, run: str | None = None, **environment: str) -> Result:
        command = (str(COMMANDS / "research-cli"), "run", "rerun", run or self.old.name, *words)
        return self.typed(*command, **environment)

    def show(self, run: str) -> str:
        return self.typed(str(COMMANDS / "research-cli"), "run", "show", run).output

    def newest(self) -> dict[str, Any]:
        folder = sorted((self.outputs / "alpha").glob("[!.]*"))[-1]
        value: dict[str, Any] = json.loads((folder / "run.json").read_text())
        return value


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    """Its folder is gone: it lives on in the archive alone."""
    paper = Paper(tmp_path_factory.mktemp("re-runs"))
    shutil.rmtree(paper.folder)
    return paper


def test_a_deleted_paper_gives_the_same_bytes_once_more(paper: Paper) -> None:
    result = paper.rerun()
    assert result.code == 0, result.errors
    assert "model.safetensors: the same bytes" in result.output
    assert "DIFFERENT" not in result.output
    last = result.output.splitlines()[-1]
    assert last.startswith("equal: ") and paper.old.name in last
    new, old = paper.newest(), json.loads((paper.old / "run.json").read_text())
    assert new["parent"] == old["id"] and old["parent"] is None
    # The workspace is a repository without a commit; the code is no longer of it.
    assert old["git"] == {"commit": None, "dirty": True}
    assert new["git"] == {"commit": None, "dirty": None}
    for key in ("experiment", "fingerprint", "source", "assets", "lock_sha256", "metrics"):
        assert new[key] == old[key]
    # What changes no number is dropped: the tracker isn't installed there.
    assert old["config"]["max_minutes"] == 30 and old["config"]["trackers"] != []
    assert (new["config"]["max_minutes"], new["config"]["trackers"]) == (0, [])
    shown = paper.show(new["id"])
    assert "seal         fits" in shown
    assert f"parent       {old['id']}" in shown


def test_of_an_experiment_without_checkpoints_the_metrics_are_compared(paper: Paper) -> None:
    result = paper.rerun("--quiet", run=paper.without_checkpoint.name)
    assert result.code == 0, result.errors
    assert "no checkpoint" in result.output and "metrics  " in result.output
    assert "weights  " not in result.output
    new = paper.newest()
    assert (new["experiment"], new["parent"]) == ("alpha.second", paper.without_checkpoint.name)
    assert "seal         fits" in paper.show(new["id"])


def test_what_differs_is_named_and_the_exit_code_says_so(paper: Paper) -> None:
    result = paper.rerun("--json", "--quiet", FACTOR="1.5", OMP_NUM_THREADS="1")
    assert result.code == 1 and "error" not in result.errors, result.errors
    value = json.loads(result.output)
    assert value["equal"] is False and not any(value["weights"].values())
    first = value["first_differences"][0]
    assert first["then"]["train/loss"] != first["now"]["train/loss"]
    assert not {"time", "memory/peak_bytes"} & first["then"].keys()
    threads = json.loads((paper.old / "run.json").read_text())["environment"]["threads"]
    wanted = "no known reason" if threads == 1 else f"environment: threads was {threads}, is 1"
    assert value["reasons"][0].startswith(wanted)


def test_a_training_that_fails_and_an_unpacked_folder_that_was_changed(paper: Paper) -> None:
    paper.rerun("--quiet", FACTOR="nan").refused_after("exit code 1", paper.old.name)
    assert paper.newest()["status"] == "failed"
    [tree] = (paper.outputs / ".reruns").iterdir()
    changed = tree / "papers" / "alpha" / "config.yaml"
    before = changed.read_text()
    changed.write_text(before + "# changed\n")
    paper.rerun().refused(1, str(changed), "unpacked")
    changed.write_text(before)


def test_ctrl_c_stops_the_training_too(paper: Paper) -> None:
    process = subprocess.Popen(
        [COMMANDS / "research-cli", "run", "rerun", paper.old.name, "--quiet"],
        env=paper.environment | {"PAUSE": "0.5"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 60
    while (record := paper.newest())["status"] != "running":
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    ended = json.loads((paper.outputs / "alpha" / record["id"] / "run.json").read_text())
    assert ended["status"] == "interrupted" and ended["parent"] == paper.old.name


# Refusals, which need no uv


@pytest.fixture
def tiny(tmp_path: Path) -> Workspace:
    """A workspace with the paper tiny."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    return workspace


def change_record(folder: Path, **changes: object) -> None:
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**record, **changes}))


def test_runs_that_no_re_run_can_be_compared_with(tiny: Workspace) -> None:
    run = tiny.train("--quiet").folder
    record = (run / "run.json").read_bytes()

    def refused(*parts: str) -> None:
        tiny.run("research-cli", "run", "rerun", run.name).refused(1, *parts)

    change_record(run, status="interrupted", seal=None)
    refused(f"{run.name} is interrupted", "only a completed run", f"train --resume {run.name}")
    change_record(run, status="failed")
    refused(f"{run.name} is failed", "train --config")
    change_record(run, status="completed", fingerprint=None)
    refused("--any-code", run.name)
    (run / "run.json").write_text("{")
    refused("run.json: damaged")
    (run / "run.json").write_bytes(record)
    change_record(run, seal=None)
    refused(run.name, "no seal")
    (run / "run.json").write_bytes(record)
    change_record(run, metrics={"test/accuracy": 1.0})
    refused("its seal is broken", str(run))
    (run / "run.json").write_bytes(record)
    weights = run / "checkpoints" / "step-00000020" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    refused(str(weights), "damaged")
    weights.write_bytes(content)
    [archive] = (tiny.outputs / ".sources").iterdir()
    archive.write_bytes(archive.read_bytes() + b"x")
    refused(str(archive), "damaged", "sha256")
    archive.unlink()
    refused(str(archive), "No such file", "import")
    assert [path.name for path in tiny.outputs.glob(".reruns/*")] == []


def test_a_run_whose_data_is_gone(tiny: Workspace, tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as server:
        commit = add_repo(tmp_path / "hub", "datasets", "org/rows", {"rows.csv": b"a\n1\n"})
        tiny.environment |= {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
        pyproject = tiny.root / "papers" / "tiny" / "pyproject.toml"
        need = f'[tool.research]\ndatasets = ["org/rows@{commit}"]\n\n[build-system]'
        pyproject.write_text(pyproject.read_text().replace("[build-system]", need))
        run = tiny.train("--quiet").folder
    tiny.environment["HF_HUB_OFFLINE"] = "1"
    [data] = (tiny.root / "assets" / "datasets").glob("org--rows@*")
    (data / "rows.csv").write_bytes(b"a\n2\n")
    command = ("research-cli", "run", "rerun", run.name)
    tiny.run(*command).refused(1, run.name, "damaged", "rows.csv", "--repair")
    shutil.rmtree(data)
    tiny.run(*command).refused(1, run.name, f"org/rows@{commit}", "dataset pull")
