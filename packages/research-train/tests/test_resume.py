"""A stop costs nothing: a run that was stopped goes on and ends as one that never was."""

import json
import signal

from workspaces import comparable

SLOW = ["sleep=0.02", "steps=60"]
WEIGHTS = "checkpoints/step-00000060/model.safetensors"


def test_a_stopped_and_resumed_run_equals_one_never_stopped(workspace):
    whole = workspace.train(*SLOW).folder
    ways = (
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "interrupted"),
        (signal.SIGKILL, -9, "running"),
    )
    for index, (number, code, status) in enumerate(ways, start=1):
        process = workspace.start("train", "--paper", "tiny", *SLOW)
        while len(workspace.records()) <= index:
            assert process.poll() is None
        stopped = workspace.stop(process, 23, number)
        assert stopped.code == code, stopped.errors
        record = workspace.records()[index]
        assert (record["status"], record["seal"]) == (status, None)
        resumed = workspace.train("--resume").folder
        assert resumed.name == record["id"]
        assert (resumed / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
        assert comparable(resumed) == comparable(whole)
        record = workspace.records()[index]
        assert record["status"] == "completed"
        assert len(record["attempts"]) == 2
        assert record["attempts"][1]["command"] == ["train", "--paper", "tiny", "--resume"]


def test_a_signal_leaves_a_checkpoint_of_the_step_it_came_in(workspace):
    process = workspace.start("train", "--paper", "tiny", *SLOW, "checkpoint_every=1000")
    stopped = workspace.stop(process, 6, signal.SIGINT)
    assert "stopping after this step" in stopped.errors
    again = f"uv run --package paper-tiny train --resume {workspace.records()[0]['id']}"
    assert stopped.errors.splitlines()[-1].endswith(f": {again}")
    [checkpoint] = workspace.outputs.glob("tiny/*/checkpoints/step-*")
    assert 6 <= int(checkpoint.name.removeprefix("step-")) < 60


def test_a_longer_run_equals_one_that_was_so_long_from_the_start(workspace):
    whole = workspace.train("steps=30").folder
    workspace.train("steps=20")
    longer = workspace.train("--resume", workspace.records()[1]["id"], "steps=30").folder
    name = "checkpoints/step-00000030/model.safetensors"
    assert (longer / name).read_bytes() == (whole / name).read_bytes()
    assert workspace.records()[0]["fingerprint"] == workspace.records()[1]["fingerprint"]


def test_a_damaged_checkpoint_is_passed_over(workspace):
    whole = workspace.train().folder
    process = workspace.start("train", "--paper", "tiny", "sleep=0.05")
    while len(workspace.records()) < 2:
        assert process.poll() is None
    workspace.stop(process, 18, signal.SIGKILL)
    newest = sorted(workspace.outputs.glob("tiny/*/checkpoints/step-00000016"))[-1]
    (newest / "state.json").write_text("{}")
    resumed = workspace.train("--resume")
    assert "state.json is damaged" in resumed.errors
    name = "checkpoints/step-00000020/model.safetensors"
    assert (resumed.folder / name).read_bytes() == (whole / name).read_bytes()


def test_a_damaged_last_checkpoint_is_written_anew_and_kept_aside(workspace):
    run = workspace.train().folder
    last = run / "checkpoints" / "step-00000020"
    sound = (last / "model.safetensors").read_bytes()
    (last / "model.safetensors").write_bytes(sound[:-1] + b"7")
    (run / "checkpoints" / ".step-00000020.x.partial").mkdir()  # as a SIGKILL leaves it
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "failed", "seal": None}))
    assert workspace.train("--resume").code == 0
    assert (last / "model.safetensors").read_bytes() == sound
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"step-00000016", "step-00000020", "damaged-2-step-00000020"}
    assert workspace.run("evaluate", "--paper", "tiny").code == 0


def test_damaged_metrics_are_reported(workspace):
    run = workspace.train().folder
    (run / "metrics.jsonl").write_text("{nonsense}\n")
    workspace.train("--resume", run.name, "steps=25").refused(1, "metrics.jsonl", "new run")


def test_resuming_a_run_that_is_not_the_newest_is_reported(workspace):
    process = workspace.start("train", "--paper", "tiny", *SLOW)
    workspace.stop(process, 3, signal.SIGINT)
    newer = workspace.train("second").folder
    assert newer.name in workspace.train("--resume").errors


def test_nothing_to_resume_is_an_error(workspace):
    workspace.train("--resume").refused(1, "tiny", "interrupted or failed")
    done = workspace.train().folder
    workspace.train("--resume").refused(1, "tiny", "interrupted or failed")
    workspace.train("--resume", done.name).refused(1, "nothing to resume", "steps=N")
    workspace.train("--resume", "gone").refused(1, "no run 'gone'", done.name)


def test_another_config_is_refused(workspace):
    run = workspace.train().folder
    for words in (["seed=1"], ["optimizer.learning_rate=1"], ["log_every=7"]):
        workspace.train("--resume", run.name, *words).refused(2, words[0], "keeps its config")
    workspace.train("--resume", run.name, "steps=10").refused(2, "only get longer")
    workspace.train("--resume", run.name, "--name", "x").refused(2, "--name")
    assert len(workspace.records()[0]["attempts"]) == 1


def test_changed_code_is_refused_by_name_and_allowed_when_told(workspace):
    run = workspace.train().folder
    before = workspace.records()[0]
    model = workspace.root / "papers/tiny/paper_tiny/train.py"
    model.write_text(model.read_text().replace("Dropout(0.2)", "Dropout(0.3)"))
    resume = ["--resume", run.name, "steps=25"]
    workspace.train(*resume).refused(1, "papers/tiny/paper_tiny/train.py", "--any-code")
    assert workspace.records()[0] == before
    assert workspace.train(*resume, "--any-code").code == 0
    after = workspace.records()[0]
    assert after["fingerprint"] is None  # it stands for neither code
    assert after["source"] != before["source"]


def test_another_machine_is_allowed_and_reported(workspace):
    workspace.environment["OMP_NUM_THREADS"] = "1"
    run = workspace.train().folder
    workspace.environment["OMP_NUM_THREADS"] = "2"
    resumed = workspace.train("--resume", run.name, "steps=25")
    assert resumed.code == 0
    assert "threads 1 -> 2" in resumed.errors


def test_changes_beside_the_code_do_not_stop_a_resume(workspace):
    run = workspace.train().folder
    folder = workspace.root / "papers/tiny"
    (folder / "README.md").write_text("# Tiny\n")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_tiny.py").write_text("assert True\n")
    assert workspace.train("--resume", run.name, "steps=25").code == 0


def test_two_processes_cannot_resume_one_run(workspace):
    process = workspace.start("train", "--paper", "tiny", *SLOW)
    workspace.stop(process, 3, signal.SIGTERM)
    first = workspace.start("train", "--paper", "tiny", "--resume")
    while len(workspace.records()[0]["attempts"]) < 2:
        assert first.poll() is None
    run = workspace.records()[0]["id"]
    workspace.train("--resume", run).refused(1, f"process {first.pid}")
    assert first.wait(timeout=60) == 0
