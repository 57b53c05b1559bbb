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


def test_wandb_offline_holds_every_step(workspace):
    run = workspace.train("wandb=offline").folder
    [file] = run.glob("wandb/offline-run-*/*.wandb")
    steps = wandb_history(file)
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert steps == sorted({line["step"] for line in lines})


def wandb_history(file):
    """The steps in an offline W&B file: protocol buffers in LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    content, at, steps, record = file.read_bytes(), 7, [], b""
    while at + 7 <= len(content):
        if (left_in_block := 32768 - at % 32768) < 7:
            at += left_in_block
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        record += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            message = wandb_internal_pb2.Record.FromString(record)
            if message.WhichOneof("record_type") == "history":
                steps.append(message.history.step.num)
            record = b""
    return steps


def test_a_tracker_that_fails_stops_neither_training_nor_the_other(workspace):
    broken = workspace.site / "wandb"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise RuntimeError('no such service')\n")
    result = workspace.train("wandb=offline", "tensorboard=true")
    assert result.code == 0
    assert "wandb: RuntimeError: no such service" in result.errors
    assert "wandb failed; metrics.jsonl has every metric" in result.errors
    assert "Traceback" not in result.errors
    same(shown_by_tensorboard(result.folder), recorded(result.folder))
