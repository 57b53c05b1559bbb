"""Copy the lines of metrics.jsonl to TensorBoard and W&B.

Each tracker runs in a process of its own that follows the file: the training loop never waits for
it, and no line is lost if the training is killed. A resume writes it again from the file.

    python -m research_train.record.trackers RUN_FOLDER tensorboard 2    (ends when its stdin does)

The number is that of the attempt whose process started it. A lock in the run's folder sees to it
that one follower at a time writes for a tracker: that of a killed attempt may still be at work.
"""

import os

if __name__ == "__main__":
    os.nice(10)  # the training goes first where both share the cores, also during these imports

import json
import select
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from research_data.lock import locked
from research_data.shown import printable

from research_train.record.folders import CONFIG, METRICS

if TYPE_CHECKING:  # every import at this process's start would slow the training down
    from research_train.experiment.config import TrainConfig

POLL = 0.5  # seconds between two reads of the file
PATIENCE = 10.0  # seconds that a finished run waits for its trackers, which go on without it


class Tracker(Protocol):
    """Something that shows metrics to people."""

    def log(self, step: int, time: float, metrics: dict[str, float]) -> None:
        """Take the metrics of a step; time in Unix seconds."""

    def close(self) -> None:
        """Write what is left."""


class TensorBoardTracker:
    """Event files in the run's folder `tensorboard`, made anew."""

    def __init__(self, folder: Path):
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        # The protocol is used directly, because torch's SummaryWriter would import torch here too.
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self._writer = EventFileWriter(str(folder / "tensorboard"))
        self._event, self._summary = Event, Summary
        text = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        for tag, content in (("run", str(folder)), ("config", _as_markdown(folder / CONFIG))):
            written = content.encode(errors="backslashreplace")
            tensor = TensorProto(dtype=DT_STRING, string_val=[written])
            value = Summary.Value(tag=tag, metadata=text, tensor=tensor)
            self._writer.add_event(Event(summary=Summary(value=[value])))

    def log(self, step: int, time: float, metrics: dict[str, float]) -> None:
        """Add one event with one scalar per metric."""
        values = [
            self._summary.Value(tag=printable(name), simple_value=value)
            for name, value in metrics.items()
        ]
        event = self._event(wall_time=time, step=step, summary=self._summary(value=values))
        self._writer.add_event(event)

    def close(self) -> None:
        """Flush the event file."""
        self._writer.close()


class WandbTracker:
    """A W&B run in the run's folder `wandb`; offline it is made anew, online it continues."""

    def __init__(self, folder: Path):
        import wandb

        from research_train.experiment.yaml_file import read_yaml
        from research_train.record.record import read_record

        record, config = read_record(folder), read_yaml(folder / CONFIG)
        mode = config["wandb"]
        if mode == "offline":
            shutil.rmtree(folder / "wandb", ignore_errors=True)
        self._run = wandb.init(
            project=record.paper,
            id=record.id.replace(".", "-"),
            name=record.name or record.id,
            group=record.group,
            tags=record.tags,
            dir=folder,
            config=config,
            notes=str(folder),  # where the run's record is
            mode="offline" if mode == "offline" else "online",
            resume=None if mode == "offline" else "allow",
            settings=wandb.Settings(console="off", silent=True, disable_git=True),
        )

    def log(self, step: int, time: float, metrics: dict[str, float]) -> None:
        """Add the metrics to W&B's history of the step."""
        self._run.log({**metrics, "time": time}, step=step)

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()


@contextmanager
def follow_metrics(folder: Path, config: "TrainConfig", attempt: int) -> Iterator[None]:
    """Have the trackers that the config asks for follow the run in folder during this block.

    attempt: how often the run was started or resumed.
    """
    names = ["tensorboard"] if config.tensorboard else []
    names += [] if config.wandb == "disabled" else ["wandb"]
    followers = {name: _start_follower(folder, name, attempt) for name in names}
    try:
        yield
    finally:
        for follower in followers.values():
            assert follower.stdin is not None
            follower.stdin.close()
        for name, follower in followers.items():
            try:
                state = "failed" if follower.wait(PATIENCE) else ""
            except subprocess.TimeoutExpired:
                state = "is still at work"
            if state:
                message = f"warning: {name} {state}; {METRICS} has every metric"
                print(message, file=sys.stderr)


def follow(folder: Path, name: str, attempt: int, parent: IO[str]) -> None:
    """Feed the tracker of that name from a run's metrics until parent (a pipe) is closed.

    Waits for the follower of an earlier attempt; does nothing if a later attempt's was quicker.
    """
    lock = follower_lock(folder, name)
    with locked(lock):
        if int(lock.read_text(encoding="utf-8") or 0) > attempt:
            return
        lock.write_text(str(attempt), encoding="utf-8")
        _feed(folder, name, parent)


def follower_lock(folder: Path, name: str) -> Path:
    """The file that a tracker's follower locks; it says of which attempt the last one was."""
    return folder / f".{name}.lock"


def _feed(folder: Path, name: str, parent: IO[str]) -> None:
    tracker: Tracker
    tracker = TensorBoardTracker(folder) if name == "tensorboard" else WandbTracker(folder)
    with (folder / METRICS).open(encoding="utf-8") as metrics:
        ended = False
        while not ended:
            ended = bool(select.select([parent], [], [], POLL)[0])
            for line in _whole_lines(metrics):
                tracker.log(*_parse(line))
    tracker.close()


def _start_follower(folder: Path, name: str, attempt: int) -> subprocess.Popen[bytes]:
    words = [str(folder), name, str(attempt)]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "research_train.record.trackers", *words],
        stdin=subprocess.PIPE,  # closed by the system if this process is killed
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the run; the trackers end after it
    )


def _whole_lines(file: IO[str]) -> Iterator[str]:
    """The lines that are complete by now; a half-written one is left for the next read."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            return
        yield line


def _as_markdown(config: Path) -> str:
    lines = config.read_text(encoding="utf-8").splitlines()
    return "\n".join(f"    {line}" for line in lines)  # indented: Markdown's form for code


def _parse(line: str) -> tuple[int, float, dict[str, float]]:
    content = json.loads(line)
    numbers = {k: v for k, v in content.items() if k not in ("step", "time") and v is not None}
    return content["step"], content["time"], numbers


if __name__ == "__main__":
    try:
        follow(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.stdin)
    except Exception as error:  # whatever a service's client raises is shown in one line
        sys.exit(f"{sys.argv[2]}: {type(error).__name__}: {error}")
    os._exit(0)  # everything is written; the training would wait for the interpreter's shutdown
