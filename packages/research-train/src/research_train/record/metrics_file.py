"""Read a run's metrics.jsonl at once, or follow it while it is written."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

from research_train.record.folders import METRICS
from research_train.record.lock import run_status
from research_train.record.record import OWN_NAMES, read_record

POLL = 0.5  # seconds between two reads of a run that is followed
OF_THE_MACHINE = ("speed/", "memory/")  # metrics that comparisons of runs leave out

Point = dict[str, float | None]  # a line of metrics.jsonl


def read_metrics(folder: Path) -> list[Point]:
    """The lines of metrics.jsonl; unreadable ones are left out."""
    return list(_points((folder / METRICS).read_bytes())) if (folder / METRICS).is_file() else []


def follow_run(folder: Path, poll: float = POLL) -> Iterator[Point]:
    """The lines of metrics.jsonl as they are written, from the first on, until the run has ended.

    poll: seconds between two reads. Raises RunError if the run's record is gone.
    """
    path, read = folder / METRICS, 0
    last = skip = -math.inf
    while True:
        ended = (
            run_status(folder, read_record(folder)) != "running"
        )  # checked before its last lines are read
        size = path.stat().st_size if path.is_file() else 0
        if size < read:  # cut back by a resume, which logs these steps again
            read, skip = 0, last
        if size > read:
            with path.open("rb") as file:
                file.seek(read)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            read += len(whole)
            for point in _points(whole):
                step = point["step"]
                if step is not None and step > skip:
                    last = step
                    yield point
        if ended:
            return
        time.sleep(poll)


def _points(content: bytes) -> Iterator[Point]:
    for line in content.splitlines():
        try:
            point = json.loads(line)
        except (ValueError, RecursionError):  # the last line of a killed run
            continue
        if isinstance(point, dict) and _is_step(point.get("step")):
            yield {name: _finite(value) for name, value in point.items()}


def _is_step(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _finite(value: object) -> float | None:
    """A finite number of a line; None for anything else, as another tool may have written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer of 400 digits
        return None


def metrics_of(point: Point) -> Point:
    """The metrics of a line: all but its step and time."""
    return {name: value for name, value in point.items() if name not in OWN_NAMES}


def repeatable_part(point: Point) -> Point:
    """A line of metrics without what depends on the machine: its time, `speed/*`, `memory/*`."""
    return {k: v for k, v in point.items() if k != "time" and not k.startswith(OF_THE_MACHINE)}
