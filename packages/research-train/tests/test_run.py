"""What a run leaves behind."""

import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import pytest
from research_train import (
    RunError,
    find_run,
    last_run,
    new_run,
    read_record,
    resumed_run,
    train_run,
)
from research_train.experiment.yaml_file import read_yaml
from research_train.record.lock import LOCK, lock_run, run_status
from research_train.record.record import compute_seal, was_lengthened

FIELDS = {
    "config",
    "config_sha256",
    "schema",
    "id",
    "paper",
    "experiment",
    "name",
    "status",
    "started",
    "ended",
    "command",
    "seed",
    "git",
    "source",
    "fingerprint",
    "lock_sha256",
    "packages",
    "releases",
    "assets",
    "environment",
    "attempts",
    "parent",
    "group",
    "tags",
    "note",
    "metrics",
    "error",
    "seal",
}


def trained(experiment, *words):
    run = new_run(experiment, words)
    run.quiet = True
    train_run(run, experiment)
    return run


def test_a_run_in_a_folder_of_a_group_belongs_to_that_group(workspace):
    papers_runs = workspace.outputs / "tiny"
    papers_runs.mkdir(parents=True)
    papers_runs.chmod(0o2775)
    run = workspace.train("steps=2").folder
    assert all(each.stat().st_mode & stat.S_ISGID for each in (run, run / "checkpoints"))


def test_the_record_has_every_field(workspace):
    run = workspace.train("--name", "First try!").folder
    record = json.loads((run / "run.json").read_text())
    assert record.keys() == FIELDS
    assert record["id"] == run.name
    assert run.name.endswith("-First-try-seed0")
    assert (record["paper"], record["experiment"], record["name"]) == ("tiny", "tiny", "First try!")
    assert record["status"] == "completed"
    assert record["command"] == ["train", "--paper", "tiny", "--name", "First try!"]
    assert record["assets"].keys() == {"tiny-points"}
    assert record["packages"]["paper-tiny"] == "0.1.0"
    machine = {"python", "platform", "cpu", "cpu_capability", "hash_seed", "threads", "compiler"}
    machine |= {"gpu", "cuda"}
    assert record["environment"].keys() == machine
    [attempt] = record["attempts"]
    parts = {"time", "end", "status", "command", "host", "environment", "packages", "changed"}
    assert attempt.keys() == parts
    assert record["started"] <= record["ended"]
    assert record["config"] == read_yaml(run / "config.yaml")
    assert len(record["seal"]) == len(record["fingerprint"]) == len(record["source"]) == 64


def test_metrics_are_lines_of_step_time_and_numbers(experiment):
    run = trained(experiment)
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    by_step = [(line["step"], sorted(line.keys() - {"step", "time"})) for line in lines]
    train = [
        "memory/peak_bytes",
        "speed/examples_per_second",
        "speed/steps_per_second",
        "train/gradient_norm",
        "train/learning_rate",
        "train/loss",
    ]
    assert [step for step, names in by_step if names == train] == [3, 6, 9, 12, 15, 18, 20]
    assert [step for step, names in by_step if names == ["test/accuracy"]] == [5, 10, 15, 20]
    assert lines[-1]["test/accuracy"] == run.record.metrics["test/accuracy"]


def test_only_the_newest_checkpoints_stay(experiment):
    run = trained(experiment, "checkpoint_every=5", "keep_checkpoints=2")
    assert [path.name for path in run.checkpoints()] == ["step-00000015", "step-00000020"]
    names = {path.name for path in run.checkpoints()[-1].iterdir()}
    assert names == {"model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"}


def test_the_config_of_a_run_can_be_trained_again(workspace):
    first = workspace.train("seed=4", "optimizer.learning_rate=0.02").folder
    second = workspace.train("--config", str(first / "config.yaml")).folder
    assert (first / "config.yaml").read_text() == (second / "config.yaml").read_text()
    records = workspace.records()
    assert records[0]["metrics"] == records[1]["metrics"]
    assert records[0]["fingerprint"] == records[1]["fingerprint"]


def test_equal_runs_give_equal_bytes(experiment):
    weights = [
        (trained(experiment).last_checkpoint() / "model.safetensors").read_bytes() for _ in range(2)
    ]
    assert weights[0] == weights[1]


def test_runs_started_in_the_same_second_are_two_runs(workspace):
    processes = [workspace.start("train", "--paper", "tiny", "second", "--quiet") for _ in range(4)]
    folders = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(folders) == 4
    assert {record["status"] for record in workspace.records()} == {"completed"}


def test_a_killed_run_is_shown_as_interrupted_and_a_live_one_as_running(workspace, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(workspace.root / "assets"))
    process = workspace.start("train", "--paper", "tiny", "sleep=0.05", "steps=500")
    outputs = workspace.outputs / "tiny"
    while not (folders := list(outputs.glob("[!.]*/run.json"))):
        assert process.poll() is None
        time.sleep(0.05)
    folder = folders[0].parent
    assert run_status(folder, read_record(folder)) == "running"
    result = workspace.stop(process, 3, signal.SIGKILL)
    assert result.code == -signal.SIGKILL
    assert read_record(folder).status == "running"  # nobody was left to write otherwise
    assert run_status(folder, read_record(folder)) == "interrupted"
    assert last_run("tiny", "tiny", ["interrupted"]) == folder


def test_a_run_is_found_by_id_by_its_beginning_and_by_folder(experiment):
    run = trained(experiment, "steps=2")
    for text in (run.record.id, run.record.id[:15], str(run.folder)):
        assert find_run("tiny", text) == run.folder
    trained(experiment, "steps=2")
    with pytest.raises(RunError, match="2 runs"):
        find_run("tiny", "2")
    with pytest.raises(RunError, match="no run '1999'"):
        find_run("tiny", "1999")
    named = new_run(experiment, ["steps=2"], name="wider/../next")
    assert named.folder.parent == run.folder.parent
    assert find_run("tiny", "wider/../next") == named.folder


def test_a_run_is_trained_once(experiment):
    run = trained(experiment, "steps=2")
    with pytest.raises(RunError, match="is completed"):
        train_run(run, experiment)


def test_a_run_can_be_trained_outside_the_main_thread(experiment):
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(trained, experiment, "steps=2").result()
    assert run.record.status == "completed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"schema": 1}', "damaged"),
        ('{"schema": 99}', "schema 99"),
    ],
)
def test_a_damaged_or_newer_record_is_refused(experiment, content, message):
    run = trained(experiment, "steps=2")
    (run.folder / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        read_record(run.folder)


def test_a_record_from_before_threads_were_recorded_is_read(experiment):
    run = trained(experiment, "steps=2")
    content = json.loads((run.folder / "run.json").read_text())
    for environment in (content["environment"], content["attempts"][0]["environment"]):
        del environment["threads"]
    (run.folder / "run.json").write_text(json.dumps(content))
    assert read_record(run.folder).environment.threads is None


def test_fields_of_a_newer_version_are_kept(experiment):
    run = trained(experiment, "steps=2")
    content = json.loads((run.folder / "run.json").read_text())
    (run.folder / "run.json").write_text(json.dumps(content | {"novel": [1]}))
    run.record = read_record(run.folder)
    run.save()
    assert json.loads((run.folder / "run.json").read_text())["novel"] == [1]


def test_the_source_archive_holds_uncommitted_code_and_trains_again(workspace):
    """Unpacked elsewhere it runs as it was, though the paper has changed since."""
    first = workspace.train("steps=4")
    [record] = workspace.records()
    train = workspace.root / "papers/tiny/paper_tiny/train.py"
    train.write_text("raise SystemExit('changed since')\n")
    unpacked = workspace.root / "elsewhere"
    with tarfile.open(workspace.outputs / ".sources" / f"{record['source']}.tar.gz") as archive:
        archive.extractall(unpacked, filter="data")
    assert (unpacked / "pyproject.toml").is_file()
    link = workspace.site / "paper_tiny"
    link.unlink()
    link.symlink_to(unpacked / "papers/tiny/paper_tiny")
    information = workspace.site / "paper_tiny-0.1.0.dist-info/direct_url.json"
    information.write_text(information.read_text().replace("/papers/", "/elsewhere/papers/"))
    second = workspace.train("steps=4")
    weights = "checkpoints/step-00000004/model.safetensors"
    assert (first.folder / weights).read_bytes() == (second.folder / weights).read_bytes()
    assert workspace.records()[1]["fingerprint"] == record["fingerprint"]


def git(workspace, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", *identity, *words], cwd=workspace.root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_the_commit_and_whether_the_tree_differs_from_it_are_recorded(workspace):
    git(workspace, "init", "-q")
    (workspace.root / ".gitignore").write_text("/assets\n/papers/*/data\n__pycache__\n")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-qm", "all")
    assert workspace.train("second").code == 0
    (workspace.root / "papers/tiny/new.txt").write_text("new")
    assert workspace.train("second").code == 0
    clean, dirty = (record["git"] for record in workspace.records())
    commit = git(workspace, "rev-parse", "HEAD")
    assert clean == {"commit": commit, "dirty": False}
    assert dirty == {"commit": commit, "dirty": True}


def test_a_machine_without_git_records_no_commit(workspace):
    workspace.environment["PATH"] = str(workspace.root)
    assert workspace.train("second").code == 0
    assert workspace.records()[0]["git"] == {"commit": None, "dirty": None}


@pytest.mark.parametrize(
    ("mount", "left"),
    [
        ("mount -t tmpfs -o size=4k none", 0),
        ("mount -t tmpfs -o size=48k none", 1),  # full when a checkpoint is due
        ("mount -t tmpfs -o ro none", 0),
    ],
)
def test_a_full_or_read_only_disk_ends_in_one_message_and_nothing_half_made(workspace, mount, left):
    """Real file systems, in a mount namespace of their own: modes mean nothing to root."""
    assets = workspace.root / "assets"
    assets.mkdir()
    train = Path(sys.executable).parent / "train"
    script = (
        f"{mount} {assets} && {train} --paper tiny; code=$?; "
        f"find {assets} -name '*.partial'; ls -d {assets}/outputs/tiny/*; exit $code"
    )
    done = subprocess.run(
        ["unshare", "-Urm", "sh", "-c", script],
        env=workspace.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("error: cannot write") == 1
    assert "RESEARCH_ASSETS" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == left


def test_a_process_that_a_run_forked_is_not_at_work_on_it(experiment):
    """As a DataLoader's worker, which lives on for seconds after a SIGKILL of the training."""
    run = new_run(experiment)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        with run.attempt():
            run.record.metrics = {}
        lock = lock_run(run.folder)
        assert lock is not None
        lock.close()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_look_at_a_run_does_not_keep_it_from_going_on(experiment):
    run = new_run(experiment)
    with run.attempt():
        run.record.metrics = {}
    look = (run.folder / LOCK).open()
    fcntl.flock(look, fcntl.LOCK_SH)
    Timer(0.1, look.close).start()
    assert lock_run(run.folder) is not None


def test_a_run_lengthened_from_python_says_so_under_its_seal(experiment):
    run = trained(experiment, "steps=2")
    assert not was_lengthened(read_record(run.folder))
    longer = resumed_run(experiment, run.record.id, ["steps=4"])
    train_run(longer, experiment)
    record = read_record(run.folder)
    assert record.attempts[-1].command == []
    assert record.attempts[-1].changed == {"steps": [2, 4]}
    assert was_lengthened(record)
    assert compute_seal(run.folder, record) == record.seal
    record.attempts[-1].changed = {}
    assert compute_seal(run.folder, record) != record.seal
    # A record from before it was kept: only a longer run goes on after it has completed.
    record.attempts[-1].changed = None
    assert was_lengthened(record)
