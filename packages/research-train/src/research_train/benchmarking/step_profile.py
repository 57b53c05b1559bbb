"""Profile some steps of a run with torch.profiler: `train --profile N`."""

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from research_data.errors import StorageError
from research_data.shown import counted, table_lines
from torch.profiler import ProfilerActivity, profile, schedule

from research_train.benchmarking.replaced import Method, replaced
from research_train.loop.trainer import Trainer
from research_train.record.run import Run

FILE = "profile.json"
WARM_UP = 5  # steps before the profile: the first ones allocate memory and choose kernels
MOST_EXPENSIVE = 10  # operations in the table


@dataclass(frozen=True)
class Operation:
    """An operation of the profiled steps: milliseconds a step that it took itself, calls a step."""

    name: str
    milliseconds: float
    calls: float


@dataclass
class StepProfile:
    """What was profiled. file: the trace, in Chrome's format. operations: the longest first.

    asked: the number of steps that were to be profiled; steps: that of those that were.
    """

    file: Path
    asked: int
    steps: int = 0
    operations: list[Operation] = field(default_factory=list)


@contextmanager
def profiled_steps(run: Run, steps: int) -> Iterator[StepProfile]:
    """Profile `steps` steps of the training in this block, once WARM_UP steps are done.

    The trace is written into the run's folder as soon as these steps are done, or at the end of a
    shorter training; a shorter one is warmed up less. The profile changes no number of the run
    except its speed. Of several processes the first is profiled. Raises StorageError.
    """
    result = StepProfile(run.folder / FILE, steps)
    if run.world.rank > 0:
        yield result
        return
    profiler: profile | None = None
    begun = warm_up = 0

    def keep(profiler: profile) -> None:
        result.steps = min(begun - warm_up, steps)
        result.operations = _operations(profiler, result.steps)
        _write(profiler, result.file)

    def profiled(stepped: Method) -> Method:
        def step(trainer: Trainer[Any], *given: Any) -> Any:
            nonlocal profiler, begun, warm_up
            if profiler is None:
                warm_up = max(0, min(WARM_UP, run.config.steps - trainer.step - steps))
                profiler = _profiler(warm_up, steps, keep)
                profiler.start()
            elif begun <= warm_up + steps:
                profiler.step()  # here, so that a step's logging and checkpoint belong to it
            begun += 1
            return stepped(trainer, *given)

        return step

    with replaced(Trainer, "_stepped", profiled):
        try:
            yield result
        finally:
            if profiler is not None:
                profiler.stop()


def profile_lines(made: StepProfile) -> Iterator[str]:
    """The table of a profile's most expensive operations, and where its trace is, for people."""
    if not made.steps:
        yield "nothing was profiled: the training did no steps with a Trainer"
        return
    rows = [
        [each.name, f"{each.milliseconds:.4f}", f"{each.calls:.4g}"]
        for each in made.operations[:MOST_EXPENSIVE]
    ]
    yield from table_lines(["operation", "ms a step", "calls a step"], rows, right=True)
    fewer = f" (the run had no more; {made.asked} asked for)" if made.steps < made.asked else ""
    yield (
        f"profile of {counted(made.steps, 'step')}{fewer}: {made.file} "
        "(open it at https://ui.perfetto.dev)"
    )


def activities() -> list[ProfilerActivity]:
    """What torch.profiler is to trace on this machine."""
    if torch.cuda.is_available():
        return [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it reports the missing GPU as an error
    return [ProfilerActivity.CPU]


def _profiler(warm_up: int, steps: int, keep: Callable[[profile], None]) -> profile:
    wait, warm_up = max(0, warm_up - 1), min(1, warm_up)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Profiler won't be using warmup")
        return profile(
            activities=activities(),
            schedule=schedule(wait=wait, warmup=warm_up, active=steps, repeat=1),
            on_trace_ready=keep,
            acc_events=True,  # there is one cycle; else torch warns that a next one would clear it
        )


def _operations(profiler: profile, steps: int) -> list[Operation]:
    """The operations by the time that they took themselves, on the GPU where they ran there."""
    found = []
    for each in profiler.key_averages():
        if each.key.startswith("ProfilerStep"):
            continue
        microseconds = each.self_device_time_total or each.self_cpu_time_total
        found.append(Operation(each.key, microseconds / steps / 1000, each.count / steps))
    return sorted(found, key=lambda each: -each.milliseconds)


def _write(profiler: profile, file: Path) -> None:
    beside = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        profiler.export_chrome_trace(str(beside))
        beside.replace(file)
    except OSError as error:
        raise StorageError(file, error) from error
    finally:
        beside.unlink(missing_ok=True)
