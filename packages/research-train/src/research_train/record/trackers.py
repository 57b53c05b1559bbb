"""Show what a run logs in TensorBoard, in W&B, and in the trackers of other packages.

Each tracker runs in a process of its own that follows the run's files: the training loop never
waits for it, and no line is lost if the training is killed. A resume writes it again from them.

    python -m research_train.record.trackers RUN_FOLDER tensorboard 2    (ends when its stdin does)

The number is that of the attempt whose process started it. A lock in the run's folder sees to it
that one follower at a time writes for a tracker: that of a killed attempt may still be at work.
"""

import os
import signal

if __name__ == "__main__":
    os.nice(10)  # the training goes first where both share the cores, also during these imports
    # SLURM sends these to every process of a job.
    for _each in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(_each, lambda *_: None)

import json
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from research_data.errors import UsageError
from research_data.lock import locked
from research_data.shown import did_you_mean

from research_train.record.folders import MEDIA_INDEX, METRICS

if TYPE_CHECKING:  # every import at this process's start would slow the training down
    from research_train.experiment.config import TrainConfig
    from research_train.record.media import MediaFile

GROUP = "research_train.trackers"  # of entry points: a tracker's name = its class
OWN_KEYS = ("tensorboard", "wandb")  # config keys that switch on a tracker of this package
POLL = 0.5  # seconds between two reads of the files
PATIENCE = 10.0  # seconds that a finished run waits for its trackers, which go on without it


class Tracker(Protocol):
    """Something that shows a run's metrics to people, made with the run's folder.

    It may have a method `show(step, time, name, file)` too, which is called with each picture
    (.png), text (.txt) and histogram (.json: counts and edges) of the run.
    """

    def log(self, step: int, time: float, metrics: dict[str, float]) -> None:
        """Take the metrics of a step, those that are finite; time in Unix seconds."""

    def close(self) -> None:
        """Write what is left. run.json says by now how the run has ended."""


def refuse_unknown_trackers(names: Sequence[str]) -> None:
    """Raise UsageError for a name that no installed package has as a tracker, or that is double."""
    if not names:
        return
    known = sorted({point.name for point in entry_points(group=GROUP)} - set(OWN_KEYS))
    for name in names:
        if name in OWN_KEYS:
            word = "tensorboard=true" if name == "tensorboard" else "wandb=offline or wandb=online"
            raise UsageError(f"trackers: {name!r} has a key of its own: {word}")
        if name not in known:
            has = f"Installed: {', '.join(known)}." if known else "None is installed."
            raise UsageError(
                f"trackers: there is no tracker {name!r}.{did_you_mean(name, known)} {has} A "
                f"package offers one as an entry point of the group {GROUP}"
            )
    if double := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"trackers: {double[0]!r} is named {len(double)} times")


@contextmanager
def follow_metrics(folder: Path, config: "TrainConfig", attempt: int) -> Iterator[None]:
    """Have the trackers that the config asks for follow the run in folder during this block.

    attempt: how often the run was started or resumed.
    """
    names = ["tensorboard"] if config.tensorboard else []
    names += [] if config.wandb == "disabled" else ["wandb"]
    names += config.trackers
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
    """Feed the tracker of that name from a run's files until parent (a pipe) is closed.

    Waits for the follower of an earlier attempt; does nothing if a later attempt's was quicker.
    """
    lock = follower_lock(folder, name)
    with locked(lock):
        if int(lock.read_text(encoding="utf-8") or 0) > attempt:
            return
        lock.write_text(str(attempt), encoding="utf-8")
        _feed(_tracker(folder, name), folder, parent)


def follower_lock(folder: Path, name: str) -> Path:
    """The file that a tracker's follower locks; it says of which attempt the last one was."""
    return folder / f".{name}.lock"


def _tracker(folder: Path, name: str) -> Tracker:
    if name == "tensorboard":
        from research_train.record.tensorboard_tracker import TensorBoardTracker

        return TensorBoardTracker(folder)
    if name == "wandb":
        from research_train.record.wandb_tracker import WandbTracker

        return WandbTracker(folder)
    [point, *_] = entry_points(group=GROUP, name=name)
    tracker: Tracker = point.load()(folder)
    return tracker


def _feed(tracker: Tracker, folder: Path, parent: IO[str]) -> None:
    show = getattr(tracker, "show", None)
    lines, ended = _Lines(folder), False
    while not ended:
        ended = bool(select.select([parent], [], [], POLL)[0])
        for step, time, content in lines.next(ended):
            if isinstance(content, dict):
                tracker.log(step, time, content)
            elif show is not None and content.file.is_file():
                show(step, time, content.name, content.file)
    tracker.close()


Line = tuple[int, float, "dict[str, float] | MediaFile"]  # step, time, and what was logged


class _Lines:
    """The lines of metrics.jsonl and media.jsonl as they are written, together in their order.

    W&B drops what comes for a step before the last one.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._metrics = (folder / METRICS).open(encoding="utf-8")
        self._media: IO[str] | None = None
        self._held: list[Line] = []

    def next(self, ended: bool) -> list[Line]:
        """The lines since the last call, but none that one still unread may belong before.

        ended: nothing is written any more.
        """
        lines = self._held + [_parse(line) for line in _whole_lines(self._metrics)]
        shown = self._shown()
        if not shown:
            self._held = []
            return lines
        # What was shown up to these lines is read by now; before later ones there may be more.
        newest = max(line[0] for line in [*lines, *shown])
        later = [_parse(line) for line in _whole_lines(self._metrics)]
        self._held = [line for line in later if line[0] > newest and not ended]
        lines += shown + [line for line in later if line not in self._held]
        return sorted(lines, key=lambda line: line[0])

    def _shown(self) -> list[Line]:
        if self._media is None and (self._folder / MEDIA_INDEX).exists():
            self._media = (self._folder / MEDIA_INDEX).open(encoding="utf-8")
        if self._media is None:
            return []
        from research_train.record.media import parse_media

        read = [parse_media(self._folder, line) for line in _whole_lines(self._media)]
        return [(each.step, each.time, each) for each in read if each is not None]


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


def _parse(line: str) -> Line:
    content = json.loads(line)
    numbers = {k: v for k, v in content.items() if k not in ("step", "time") and v is not None}
    return content["step"], content["time"], numbers


if __name__ == "__main__":
    try:
        follow(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.stdin)
    except Exception as error:  # whatever a service's client raises is shown in one line
        sys.exit(f"{sys.argv[2]}: {type(error).__name__}: {error}")
    os._exit(0)  # everything is written; the training would wait for the interpreter's shutdown
