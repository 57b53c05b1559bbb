"""TensorBoard and W&B show what metrics.jsonl holds, after a kill and a resume too."""

import json
import signal
import struct

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def recorded(folder):
    """(name, step, value) of every number in the metrics."""
    return sorted(
        (name, line["step"], value)
        for line in map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
        for name, value in line.items()
        if name not in ("step", "time")
    )


def shown_by_tensorboard(folder):
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
    result = workspace.train("wandb=offline", "tensorboard=true")
    assert result.code == 0
    assert "wandb: RuntimeError: no such service" in result.errors
    assert "wandb failed" in result.errors and "metrics.jsonl" in result.errors
    assert "Traceback" not in result.errors
    same(shown_by_tensorboard(result.folder), recorded(result.folder))
