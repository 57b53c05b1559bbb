"""Several processes train as one: the same numbers, one record, one exit code."""

import json
import os
import signal
import sys

import pytest
import torch
from research_data.errors import UsageError
from research_train import new_run
from research_train.errors import ConfigError
from research_train.processes.srun import first_node
from safetensors.torch import load_file
from workspaces import Result, Workspace

LOSS, MODEL = "train/loss", "model.safetensors"


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


def test_an_evaluation_is_split_and_counts_each_example_once(workspace, one):
    """What `fit` evaluates is split; what the paper's `train` does after it isn't."""
    for word in ("parallel=ddp", "parallel=fsdp"):
        two = workspace.train("shared", word, "--nproc", "2")
        whole = json.loads((two.folder / "run.json").read_text())["metrics"]
        for name in ("test/accuracy", "one/accuracy"):
            assert numbers(two.folder, name)[100] == whole[name]
        assert numbers(two.folder, "test/loss")[100] == pytest.approx(whole["test/loss"], rel=1e-6)
        assert numbers(one, "shown")[100] == 49 + 49 + 1
        assert numbers(two.folder, "shown")[100] == 24 + 24 + 1  # the last one isn't counted


def test_an_evaluation_that_fails_in_one_process_ends_all(workspace):
    result = workspace.train("shared", "fail_evaluation_at=100", "--nproc", "2")
    assert result.code == 1
    [record] = workspace.records()
    assert "another process" in record["error"]["message"]
    assert "the second process can't evaluate" in result.errors


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


def srun(workspace, *tasks):
    """What `train` gives with the words of each of these tasks of one step of SLURM's."""
    before = workspace.environment
    step = {"SLURM_STEP_NUM_TASKS": str(len(tasks)), "SLURM_STEP_NODELIST": "localhost"}
    step |= {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0"}
    started = []
    for task, words in enumerate(tasks):
        mine = {"SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)}
        workspace.environment = before | step | mine
        started.append(workspace.start("train", "--paper", "tiny", *words))
    workspace.environment = before
    said = [process.communicate(timeout=120) for process in started]
    return [Result(p.returncode, *each) for p, each in zip(started, said, strict=True)]


def test_tasks_of_srun_are_one_training(workspace, one):
    first, second = srun(workspace, ["shared"], ["shared"])
    assert (first.code, second.code, second.output) == (0, 0, "")
    close(weights(one), weights(first.folder))
    assert len(workspace.records()) == 1
    [alone] = srun(workspace, ["shared", "steps=2"])
    assert alone.code == 0


def test_tasks_of_srun_that_would_train_runs_of_their_own_are_refused(workspace):
    first, second = srun(workspace, ["shared", "seed=0"], ["shared", "seed=1"])
    first.refused(2, "different words")
    assert (second.code, second.errors) == (2, "")
    workspace.environment["WORLD_SIZE"] = "1"  # as torchrun without --nnodes in each task
    for alone in srun(workspace, ["shared"], ["shared"]):
        alone.refused(2, "srun", "--nnodes 2")
    workspace.environment["SLURM_STEP_NUM_TASKS"] = "2"
    workspace.run("reproduce", "--paper", "tiny").refused(2, "srun", "--on slurm")
    sweep = ("sweep", "tiny", "steps=2,3", "--metric", "test/accuracy", "--max")
    workspace.run("research-cli", *sweep).refused(2, "srun", "--on slurm")
    workspace.run("research-cli", "bench", "tiny").refused(2, "srun -n 1")
    assert workspace.records() == []


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("big1,gpu[07-09]", "big1"), ("gpu[07-09,11],big1", "gpu07"), ("r[2,4]n[01-03]", "r2n01")],
)
def test_the_first_of_the_nodes_that_slurm_lists(nodes, first):
    assert first_node(nodes) == first


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


def test_a_divided_model_gives_the_numbers_of_one_and_any_number_of_processes_goes_on(
    workspace, one
):
    words = ("shared", "parallel=fsdp", "checkpoint_every=20", "keep_every=20")
    whole = workspace.train(*words, "--nproc", "2").folder
    close(numbers(one), numbers(whole))
    close(numbers(one, "train/gradient_norm"), numbers(whole, "train/gradient_norm"))
    close(numbers(one, "test/accuracy"), numbers(whole, "test/accuracy"))
    close(weights(one), weights(whole))
    begun = workspace.train(*words, "steps=20", "--nproc", "2").folder
    for steps, processes in ((40, "2"), (60, "1"), (100, "4")):
        go_on = ("--resume", begun.name, f"steps={steps}", "--nproc", processes)
        assert workspace.train("shared", *go_on).folder == begun
    first, second = (each / "checkpoints/step-00000040" for each in (whole, begun))
    assert (first / MODEL).read_bytes() == (second / MODEL).read_bytes()
    names = sorted(file.name for file in (first / "optimizer").iterdir())
    assert len(names) == 2
    for name in names:
        one_part, other = (load_file(each / "optimizer" / name) for each in (first, second))
        torch.testing.assert_close(one_part, other, rtol=0, atol=0)
    close(numbers(one), numbers(begun))
    close(weights(one), weights(begun))


def test_what_a_divided_model_cannot_do_is_refused(workspace, experiment):
    for word in ("compile=model", "precision=float16"):
        with pytest.raises(ConfigError, match=word):
            new_run(experiment, ["parallel=fsdp", word])
    with pytest.raises(UsageError, match="--nproc"):
        new_run(experiment, ["parallel=fsdp"])
    assert not workspace.outputs.exists()
    result = workspace.train("full", "parallel=fsdp", "--nproc", "2")
    result.refused(1, "parallel=fsdp", "ema_decay")


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
