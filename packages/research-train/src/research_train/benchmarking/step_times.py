"""Measure a loop's steps: their cost, where their time goes, their memory and their operations."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import profile
from torch.utils.flop_counter import FlopCounterMode

from research_train.benchmarking.loops import Loop, loop_tensors
from research_train.benchmarking.replaced import Method, replaced
from research_train.benchmarking.step_profile import activities

STAGES = ("data", "forward", "backward", "update", "compiled step", "logging")


class Cost(NamedTuple):
    """Seconds a step: by the clock, and of processor time in all threads of this process."""

    wall: float
    processor: float


def step_cost(loop: Loop, count: int) -> Cost:
    """The mean cost of `count` steps, from the beginning of the first to the end of the last.

    What the loop does between them counts: data, logging, and the checkpoints that fall there.
    """
    device = loop.trainer.device
    begun = 0
    marks: list[tuple[float, float]] = []

    def clocked(step: Method) -> Method:
        def do(*given: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun == 1:
                marks.append(_now(device))
            done = step(*given)
            if begun == count:
                marks.append(_now(device))
            return done

        return do

    with replaced(*loop.step, clocked):
        loop.run(count)
    (wall, processor), (wall_end, processor_end) = marks
    return Cost((wall_end - wall) / count, (processor_end - processor) / count)


def stage_times(loop: Loop, count: int) -> dict[str, float]:
    """Where the time of a step goes: seconds a step for each of STAGES that it has.

    forward: what comes before a backward pass, update: what comes after the last one. Without a
    backward pass all of it is a compiled step. logging: all that the loop does between two steps,
    checkpoints that fall there included.
    """
    clock = _StageClock(loop.trainer.device)
    with clock.attached(loop):
        loop.run(count)
    return {name: clock.seconds[name] / count for name in STAGES if clock.seconds[name]}


def step_flops(loop: Loop) -> int:
    """Floating-point operations of one step, as torch counts them: products and convolutions."""
    counter = FlopCounterMode(display=False)
    _one_step_in(loop, counter)
    return int(counter.get_total_flops())


def step_memory(loop: Loop) -> int:
    """Bytes of tensors at the peak of a step: what stays between steps, and what it allocates."""
    profiler = profile(activities=activities(), profile_memory=True, acc_events=True)
    _one_step_in(loop, profiler)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8", errors="replace"))["traceEvents"]
    kind = 0 if loop.trainer.device.type == "cpu" else 1  # c10's numbers of device types
    now = peak = 0
    changes = [each for each in events if each["name"] == "[memory]"]
    for each in sorted(changes, key=lambda each: each["args"]["Ev Idx"]):
        if each["args"]["Device Type"] == kind:
            now += each["args"]["Bytes"]
            peak = max(peak, now)
    stays = {tensor.data_ptr(): _bytes(tensor) for tensor in loop_tensors(loop)}
    return sum(stays.values()) + peak


def _one_step_in(loop: Loop, context: AbstractContextManager[Any]) -> None:
    """Do two steps, the second one in a context."""
    begun = 0

    def inside(step: Method) -> Method:
        def do(*given: Any) -> Any:
            nonlocal begun
            begun += 1
            if begun == 1:
                return step(*given)
            with context:
                return step(*given)

        return do

    with replaced(*loop.step, inside):
        loop.run(2)


class _StageClock:
    """Adds up the seconds between the marks of a loop's stages."""

    def __init__(self, device: torch.device):
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._device = device
        self._mark = 0.0  # the end of the stage before; 0 before the first batch
        self._backward = False

    @contextmanager
    def attached(self, loop: Loop) -> Iterator[None]:
        """In this block the loop's stages are timed."""
        with ExitStack() as stack:
            stack.enter_context(replaced(*loop.batch, self._timed_batch))
            stack.enter_context(replaced(*loop.step, self._timed_step))
            stack.enter_context(replaced(Tensor, "backward", self._timed_backward))
            yield

    def _ended(self, stage: str) -> None:
        now, _ = _now(self._device)
        if self._mark:
            self.seconds[stage] += now - self._mark
        self._mark = now

    def _timed_batch(self, batch: Method) -> Method:
        def next_batch(*given: Any) -> Any:
            self._ended("logging")
            found = batch(*given)
            self._ended("data")
            return found

        return next_batch

    def _timed_step(self, step: Method) -> Method:
        def do(*given: Any) -> Any:
            self._ended("logging")
            self._backward = False
            done = step(*given)
            self._ended("update" if self._backward else "compiled step")
            return done

        return do

    def _timed_backward(self, backward: Method) -> Method:
        def pass_back(*given: Any, **options: Any) -> None:
            self._ended("forward")
            backward(*given, **options)
            self._ended("backward")
            self._backward = True

        return pass_back


def _now(device: torch.device) -> tuple[float, float]:
    """Seconds of the clock and of the processor, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter(), time.process_time()


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
