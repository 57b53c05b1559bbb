"""TensorBoard and W&B show what metrics.jsonl holds, after a kill and a resume too."""

import json
import os
import re
import signal
import sqlite3
import threading
import tomllib
from contextlib import closing
from pathlib import Path

import psutil
from followers import wait_for_follower, wait_until, wandb_records
from research_data.durable import write_json
from research_train import read_record
from research_train.record.record import compute_seal, record_as_json
from research_train.record.trackers import follow, follower_lock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

README = Path(__file__).parents[1] / "README.md"


def recorded(folder):
    """(name, step, value) of every number in the metrics."""
    return sorted(
        (name, line["step"], value)
        for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        for name, value in line.items()
        if name not in ("step", "time")
    )


def recorded_and_final(folder):
    """The same, and the final metrics after the last step."""
    final = json.loads((folder / "run.json").read_text())["metrics"]
    points = recorded(folder)
    last = max(step for _, step, _ in points)
    return sorted([*points, *((f"final/{name}", last, value) for name, value in final.items())])


def shown_by_tensorboard(folder):
    wait_for_follower(folder, "tensorboard")
    return shown_by(folder)


def shown_by(folder):
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return sorted(
        (name, event.step, event.value)
        for name in events.Tags()["scalars"]
        for event in events.Scalars(name)
    )


def same(shown, expected):
    assert [point[:2] for point in shown] == [point[:2] for point in expected]
    for (*_, left), (*_, right) in zip(shown, expected, strict=True):
        assert abs(left - right) <= 1e-6 * abs(right)  # TensorBoard keeps 32 bits


def test_tensorboard_shows_every_number(workspace):
    run = workspace.train("tensorboard=true").folder
    same(shown_by_tensorboard(run), recorded_and_final(run))


def test_tensorboard_shows_no_point_twice_after_a_kill_and_a_resume(workspace):
    words = ["tensorboard=true", "sleep=0.05", "steps=60"]
    process = workspace.start("train", "--paper", "tiny", *words)
    workspace.stop(process, 30, signal.SIGKILL)
    run = workspace.train("--resume").folder
    same(shown_by_tensorboard(run), recorded_and_final(run))


def test_a_signal_to_every_process_of_a_job_leaves_the_followers_to_end_after_the_run(workspace):
    words = ["tensorboard=true", "sleep=0.05", "steps=100000"]
    process = workspace.start("train", "--paper", "tiny", *words)
    workspace.wait_for_step(process, 10)
    [record] = workspace.records()
    run = workspace.outputs / "tiny" / record["id"]
    wait_until(lambda: list(run.glob("tensorboard/events*")))
    for child in psutil.Process(process.pid).children(recursive=True):
        child.send_signal(signal.SIGTERM)
    stopped = workspace.stop(process, 20, signal.SIGTERM)
    assert (stopped.code, "warning" in stopped.errors) == (143, False)
    same(shown_by_tensorboard(run), recorded(run))


def test_tensorboard_names_the_run_and_shows_its_config(workspace):
    run = workspace.train("tensorboard=true").folder
    wait_for_follower(run, "tensorboard")
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0] for tag in ("run", "config")}
    assert texts["run"].decode() == str(run)
    assert "    learning_rate: 0.01" in texts["config"].decode()


def test_wandb_offline_holds_every_number_once_after_a_kill_and_a_resume(workspace):
    words = ["wandb=offline", "sleep=0.05", "steps=60"]
    process = workspace.start("train", "--paper", "tiny", *words)
    workspace.stop(process, 30, signal.SIGKILL)
    run = workspace.train("--resume").folder
    wait_for_follower(run, "wandb")
    [file] = run.glob("wandb/offline-run-*/*.wandb")
    parts = {"history": [], "run": []}
    for record in wandb_records(file):
        kind = record.WhichOneof("record_type")
        parts.setdefault(kind, []).append(getattr(record, kind))
    shown = sorted(
        (item.nested_key[0] if item.nested_key else item.key, entry.step.num, value)
        for entry in parts["history"]
        for item in entry.item
        if isinstance(value := json.loads(item.value_json), int | float)
        and not (item.key or item.nested_key[0]).startswith(("_", "time"))
    )
    same(shown, recorded(run))
    [started] = parts["run"]
    assert started.run_id == run.name.replace(".", "-")
    assert started.notes == str(run)
    config = {item.key: json.loads(item.value_json) for item in started.config.update}
    assert config["steps"] == 60


def test_a_tracker_that_fails_stops_neither_training_nor_the_other(workspace):
    broken = workspace.site / "wandb"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('no such service')\n")
    words = ["--paper", "tiny", "wandb=offline", "tensorboard=true"]
    process = workspace.start("train", *words)
    output, _ = process.communicate()
    assert process.returncode == 0
    run = Path(output.splitlines()[-1])
    same(shown_by_tensorboard(run), recorded_and_final(run))
    wait_for_follower(run, "wandb")
    errors = process.communicate()[1]  # as it is now: the followers write to the same stderr
    assert "wandb: RuntimeError: no such service" in errors
    assert "warning: wandb" in errors and "metrics.jsonl" in errors
    assert "Traceback" not in errors


def test_the_follower_of_an_earlier_attempt_ends_before_that_of_a_later_one(workspace):
    run = workspace.train().folder
    lock, ended = follower_lock(run, "tensorboard"), []

    def start(attempt):
        reading, writing = os.pipe()

        def work():
            with os.fdopen(reading) as parent:
                follow(run, "tensorboard", attempt, parent)
            ended.append(attempt)

        thread = threading.Thread(target=work)
        thread.start()
        return thread, writing

    first, alive = start(1)
    wait_until(lambda: list(run.glob("tensorboard/events*")))
    second, over = start(2)
    os.close(over)
    wait_until(lambda: opened(lock) == 2)  # it is at the lock
    os.close(alive)
    first.join(120)
    second.join(120)
    assert ended == [1, 2]
    same(shown_by(run), recorded_and_final(run))
    written = [(file, file.stat().st_mtime_ns) for file in run.glob("tensorboard/*")]
    late, over = start(1)  # of a process that was killed while it started
    os.close(over)
    late.join(120)
    assert ended == [1, 2, 1]
    assert written == [(file, file.stat().st_mtime_ns) for file in run.glob("tensorboard/*")]


def test_a_tracker_of_another_package_as_the_readme_shows_it(workspace):
    blocks = re.findall(r"```(\w+)\n(.*?)```", README.read_text(), re.S)
    [offered] = [
        text for kind, text in blocks if kind == "toml" and "research_train.trackers" in text
    ]
    [code] = [text for kind, text in blocks if kind == "python" and "class SqliteTracker" in text]
    offers = tomllib.loads(offered)["project"]["entry-points"]["research_train.trackers"]
    information = workspace.site / "lab_trackers-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.3\nName: lab\nVersion: 1.0\n")
    lines = "".join(f"{name} = {place}\n" for name, place in offers.items())
    (information / "entry_points.txt").write_text(f"[research_train.trackers]\n{lines}")
    (workspace.site / "lab_trackers.py").write_text(code)
    workspace.train("trackers=[sqlit]").refused(2, "'sqlit'", "'sqlite'?")
    workspace.train("trackers=[wandb]").refused(2, "'wandb'", "wandb=offline")
    assert not workspace.records()
    half = workspace.train("trackers=[sqlite]", "steps=10").folder
    run = workspace.train("--resume", half.name, "steps=20").folder
    wait_for_follower(run, "sqlite")
    with closing(sqlite3.connect(run.parent / "metrics.sqlite")) as database:
        shown = database.execute("select name, step, value from points where run = ?", [run.name])
        assert sorted(shown) == recorded(run)


def test_runs_before_there_were_these_keys_are_resumed_and_stay_the_same_experiment(workspace):
    run = workspace.train("steps=5").folder
    before = json.loads((run / "run.json").read_text())
    config = run / "config.yaml"
    lines = config.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("trackers:", "max_minutes:"))]
    assert len(kept) == len(lines) - 2
    config.write_text("".join(kept))
    record = read_record(run)
    record.config = {k: v for k, v in record.config.items() if k not in ("trackers", "max_minutes")}
    record.config_sha256, record.seal = None, compute_seal(run, record)
    write_json(run / "run.json", record_as_json(record))
    again = workspace.train("--resume", run.name, "steps=7")
    assert again.code == 0, again.errors
    after = json.loads((run / "run.json").read_text())
    assert after["attempts"][-1]["changed"] == {"steps": [5, 7]}
    assert after["config"]["trackers"] == [] and after["config"]["max_minutes"] == 0
    shorter = workspace.train("steps=5").folder
    assert json.loads((shorter / "run.json").read_text())["fingerprint"] == before["fingerprint"]


def opened(file):
    """How often this process has a file open."""
    descriptors = Path("/proc/self/fd").iterdir()
    return [os.path.realpath(each) for each in descriptors].count(str(file.resolve()))
