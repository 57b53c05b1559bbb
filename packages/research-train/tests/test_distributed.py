"""Several processes train as one: the same numbers, one record, one exit code."""

import json
import signal
import sys

import pytest
import torch
from safetensors.torch import load_file
from workspaces import Workspace

LOSS = "train/loss"


def numbers(folder, name=LOSS):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line[name] for line in lines if name in line}


def weights(folder, step=100):
    return load_file(folder / f"checkpoints/step-{step:08d}/model.safetensors")


def close(first, second, tolerance=1e-4):
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(
            torch.as_tensor(value), torch.as_tensor(second[key]), atol=tolerance, rtol=tolerance
        )


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The training in one process."""
    workspace = Workspace(tmp_path_factory.mktemp("one") / "workspace")
    workspace.add_paper()
    return workspace.train("shared").folder


def test_two_processes_give_the_numbers_of_one(workspace, one):
    """Batches of 7 are cut into parts of 3 and 4."""
    result = workspace.train("shared", "--nproc", "2")
    two = result.folder
    assert result.output.count("\n") == 1  # one of them speaks
    assert result.errors.count("run ") == 1
    close(numbers(one), numbers(two))
    close(weights(one), weights(two))
    close(numbers(one, "test/accuracy"), numbers(two, "test/accuracy"))
    assert len(numbers(two)) == 100
    assert len(workspace.records()) == 1


def test_one_process_resumes_what_two_began_and_two_what_one_began(workspace, one):
    for first, second in ((["--nproc", "2"], []), ([], ["--nproc=2"])):
        begun = workspace.train("shared", "steps=40", *first).folder
        ended = workspace.train("shared", "--resume", begun.name, "steps=100", *second).folder
        assert ended == begun
        close(numbers(one), numbers(ended))
        close(weights(one), weights(ended))


def test_torchrun_gives_the_numbers_of_one_process(workspace, one):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words = [
        "--nproc-per-node",
        "2",
        "-m",
        "research_train.launch",
        "shared",
        "--paper",
        "tiny",
    ]
    result = workspace.run_program(*command, *words)
    assert result.code == 0, result.errors
    [two] = workspace.records()
    close(weights(one), weights(workspace.outputs / "tiny" / two["id"]))


def test_a_signal_stops_both_with_a_checkpoint_to_resume_from(workspace, one):
    words = ["--paper", "tiny", "shared", "sleep=0.02", "--nproc", "2"]
    for step, number, code in ((23, signal.SIGTERM, 143), (60, signal.SIGINT, 130)):
        stopped = workspace.stop(workspace.start("train", *words), step, number)
        assert stopped.code == code, stopped.errors
        assert "Traceback" not in stopped.errors
        [record] = workspace.records()
        assert record["status"] == "interrupted"
        words = ["--paper", "tiny", "shared", "--resume", record["id"], "--nproc", "2"]
    resumed = workspace.train("shared", "--resume", record["id"], "--nproc", "2")
    close(weights(one), weights(resumed.folder))


def test_two_resumed_by_two_end_with_the_same_bytes(workspace):
    whole = workspace.train("full", "--nproc", "2").folder
    half = workspace.train("full", "steps=20", "--nproc", "2").folder
    ended = workspace.train("full", "--resume", half.name, "steps=36", "--nproc", "2").folder
    name = "checkpoints/step-00000036/model.safetensors"
    # The schedule of this paper is of 36 steps however long the run, so only length differs.
    assert (ended / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("how", ["die_at=20", "fail_at=20"])
def test_a_process_that_dies_ends_the_run_with_an_error(workspace, how):
    result = workspace.train("shared", how, "--nproc", "2")
    assert result.code == 1
    [record] = workspace.records()
    assert record["status"] == "failed"
    assert "2 processes" in record["error"]["message"]
    if how == "fail_at=20":
        assert "the second process had enough" in result.errors


def test_an_error_that_all_processes_meet_is_printed_once(workspace):
    result = workspace.train("shared", "stepz=3", "--nproc", "2")
    result.refused(2, "stepz", "steps")
    workspace.train("shared", "--nproc", "0").refused(2, "at least one")
    workspace.train("shared", "batch_size=1", "--nproc", "2").refused(1, "2 processes")
