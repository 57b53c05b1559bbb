"""The speed that a run had while it trained, to compare a benchmark with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from research_train.benchmarking.result import (
    Benchmark,
    Change,
    Spread,
    change,
    refuse_to_compare,
    spread,
)
from research_train.errors import RunError
from research_train.experiment.yaml_file import read_yaml
from research_train.record.folders import CONFIG
from research_train.record.metrics_file import read_metrics
from research_train.record.record import read_record

SPEED = "speed/steps_per_second"


@dataclass(frozen=True)
class RunSpeed:
    """What a step of a run took.

    numbers: its number of threads. way: of `bench.WAYS`. wall: milliseconds a step, as logged.
    """

    run: str
    experiment: str
    config: dict[str, Any]
    started: str
    cpu: str
    gpu: str | None
    torch: str
    numbers: list[int]
    way: str
    wall: Spread


def run_speed(folder: Path) -> RunSpeed:
    """The speed of the run in this folder, in its last attempt's environment.

    Raises RunError for one that logged no speed, or whose record doesn't say its threads.
    """
    record = read_record(folder)
    speeds = [speed for line in read_metrics(folder) if (speed := line.get(SPEED))]
    environment = record.environment
    if not speeds or environment.threads is None:
        missing = "logged no speed" if not speeds else "doesn't say its number of threads"
        raise RunError(f"{record.id} {missing}, so a benchmark can't be compared with it")
    config = read_yaml(folder / CONFIG)
    return RunSpeed(
        run=record.id,
        experiment=record.experiment,
        config=config,
        started=record.started,
        cpu=environment.cpu,
        gpu=environment.gpu,
        torch=record.packages.get("torch", "unknown"),
        numbers=[environment.threads],
        way="compiled" if config.get("compile") == "step" else "trainer",
        wall=spread([1000 / speed for speed in speeds]),
    )


def compare_with_run(before: RunSpeed, after: Benchmark) -> list[Change]:
    """How the run's way of stepping has changed since, if the benchmark timed it.

    Raises UsageError where they can't be compared.
    """
    refuse_to_compare(before, after.experiment, after.cpu, after.gpu, after.numbers)
    return [
        change(cost.threads, way.way, before.wall, way.wall)
        for cost in after.threads
        for way in cost.ways
        if way.way == before.way
    ]
