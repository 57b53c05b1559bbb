"""Processes end with the one that started them, killed at any moment, and leave a run to resume."""

import json
import os
import signal
import subprocess
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file
from workspaces import COMMANDS

SECONDS = 60.0  # until they must have ended
SLOW = ["sleep=0.02", "checkpoint_every=20"]


def started(workspace, command, *words):
    """A command as at the keyboard, in a group of its own."""
    return subprocess.Popen(
        [COMMANDS / command, "--paper", "tiny", *words],
        cwd=workspace.root,
        env=workspace.environment,
        start_new_session=True,
        stdout=(workspace.root / "errors").open("ab"),
        stderr=subprocess.STDOUT,
    )


def descendants(process):
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def all_gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=SECONDS)
    left = [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
    for each in left:
        each.kill()
    return not left


@pytest.mark.parametrize("group", [False, True], ids=["itself", "its group"])
def test_workers_end_with_a_killed_launcher_and_the_run_is_resumed(workspace, group):
    whole = workspace.train("shared", "checkpoint_every=20", "--nproc", "2").folder
    launcher = started(workspace, "train", "shared", *SLOW, "--nproc", "2")
    deadline = time.monotonic() + 60
    while len(workspace.records()) < 2 or workspace.last_step() < 23:
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    processes = descendants(launcher)
    assert len(processes) >= 2
    if group:
        os.killpg(launcher.pid, signal.SIGKILL)
    else:
        launcher.kill()
    launcher.wait()
    assert all_gone(processes)
    [run] = [record for record in workspace.records() if record["id"] != whole.name]
    assert run["status"] == "interrupted"
    ended = workspace.train("shared", "--resume", run["id"], "--nproc", "2").folder
    name = "checkpoints/step-00000100/model.safetensors"
    first, second = load_file(whole / name), load_file(ended / name)
    for key, value in first.items():
        torch.testing.assert_close(value, second[key])


@pytest.mark.parametrize("after", [0.0, 1.0])
def test_a_launcher_killed_at_the_start_leaves_no_worker(workspace, after):
    launcher = started(workspace, "train", "shared", "steps=100000", "--nproc", "2")
    while len(processes := descendants(launcher)) < 2:
        assert launcher.poll() is None
        time.sleep(0.005)
    time.sleep(after)
    launcher.kill()
    launcher.wait()
    assert all_gone(processes)


CLAIMS = """source: Nobody, Table 1
claims:
  - name: points
    what: Accuracy on the points.
    kind: value
    metric: test/accuracy
    experiment: shared
    overrides: {slow: [steps=400, sleep=0.02, checkpoint_every=1000]}
    published: 0.9
    tolerance: 0.3
    reason: wide, for a test
    seeds: 2
"""


def test_trainings_of_a_killed_reproduce_stop_at_a_checkpoint_and_are_gone_on_with(workspace):
    paper = workspace.root / "papers" / "tiny"
    (paper / "claims.yaml").write_text(CLAIMS)
    (paper / "README.md").write_text("<!-- claims: written by `reproduce` -->\n<!-- /claims -->\n")
    reproduce = started(workspace, "reproduce", "--quiet", "--jobs", "2")
    deadline = time.monotonic() + 60
    while len(steps := workspace.last_steps()) < 2 or min(steps) < 5:
        assert reproduce.poll() is None, (workspace.root / "errors").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    processes = descendants(reproduce)
    reproduce.kill()
    reproduce.wait()
    assert all_gone(processes)
    records = workspace.records()
    assert [record["status"] for record in records] == ["interrupted"] * 2
    for record in records:
        folder = workspace.outputs / "tiny" / record["id"]
        assert list((folder / "checkpoints").glob("step-*"))
    plan = workspace.run("reproduce", "--paper", "tiny", "--dry-run", "--json")
    assert json.loads(plan.output)["missing"] == 2


def test_a_training_started_by_another_program_outlives_its_parent(workspace):
    """`nohup train &` from a shell that is closed."""
    shell = subprocess.Popen(
        ["sh", "-c", f"{COMMANDS / 'train'} --paper tiny --quiet & echo $!; wait"],
        cwd=workspace.root,
        env=workspace.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdout is not None
    training = psutil.Process(int(shell.stdout.readline()))
    shell.kill()
    shell.wait()
    training.wait(60)
    assert [record["status"] for record in workspace.records()] == ["completed"]
