"""TensorBoard and W&B show what metrics.jsonl holds, after a kill and a resume too."""

import json
import os
import signal
import struct
import threading
import time
from pathlib import Path

from research_data.lock import locked
from research_train.record.trackers import follow, follower_lock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def recorded(folder):
    """(name, step, value) of every number in the metrics."""
    return sorted(
        (name, line["step"], value)
        for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        for name, value in line.items()
        if name not in ("step", "time")
    )


def wait_for_follower(folder, name):
    """Until the follower of the last attempt has ended: the run itself waits only for a while."""
    attempts = len(json.loads((folder / "run.json").read_text())["attempts"])
    lock = follower_lock(folder, name)
    wait_until(lambda: lock.exists() and lock.read_text() == str(attempts))
    with locked(lock):
        pass


def wait_until(condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
    same(shown_by_tensorboard(run), recorded(run))


def test_tensorboard_shows_no_point_twice_after_a_kill_and_a_resume(workspace):
    words = ["tensorboard=true", "sleep=0.05", "steps=60"]
    process = workspace.start("train", "--paper", "tiny", *words)
    workspace.stop(process, 30, signal.SIGKILL)
    run = workspace.train("--resume").folder
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


def wandb_records(file):
    """An offline W&B file: the client's protocol buffers in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    content, at, records, record = file.read_bytes(), 7, [], b""
    while at + 7 <= len(content):
        if (left_in_block := 32768 - at % 32768) < 7:
            at += left_in_block
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            records.append(wandb_internal_pb2.Record.FromString(record))
            record = b""
    return records


def test_a_tracker_that_fails_stops_neither_training_nor_the_other(workspace):
    broken = workspace.site / "wandb"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('no such service')\n")
    words = ["--paper", "tiny", "wandb=offline", "tensorboard=true"]
    process = workspace.start("train", *words)
    output, _ = process.communicate()
    assert process.returncode == 0
    run = Path(output.splitlines()[-1])
    same(shown_by_tensorboard(run), recorded(run))
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
    same(shown_by(run), recorded(run))
    written = [(file, file.stat().st_mtime_ns) for file in run.glob("tensorboard/*")]
    late, over = start(1)  # of a process that was killed while it started
    os.close(over)
    late.join(120)
    assert ended == [1, 2, 1]
    assert written == [(file, file.stat().st_mtime_ns) for file in run.glob("tensorboard/*")]


def opened(file):
    """How often this process has a file open."""
    descriptors = Path("/proc/self/fd").iterdir()
    return [os.path.realpath(each) for each in descriptors].count(str(file.resolve()))
