"""The result of a benchmark: plain values, as JSON, and compared with an earlier one."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError
from research_data.errors import UsageError
from research_data.shown import brief

SCHEMA = 1


@dataclass(frozen=True)
class Spread:
    """The median over the rounds, with the smallest and the largest."""

    median: float
    smallest: float
    largest: float


@dataclass(frozen=True)
class WayCost:
    """What a step costs in one way of stepping.

    wall, processor: milliseconds a step. ratio, processor_ratio: to the bare loop in the same
    round; None without one. peak_bytes: tensors at the peak of a step. stages: milliseconds a step,
    by stage. same_weights: whether the weights after the warm-up are those of the bare loop, to the
    bit; None without one.
    """

    way: str
    wall: Spread
    processor: Spread
    ratio: Spread | None
    processor_ratio: Spread | None
    peak_bytes: int
    stages: dict[str, float]
    same_weights: bool | None


@dataclass(frozen=True)
class ThreadsCost:
    """The ways at one number of threads, in rounds of so many steps.

    product_rate: float32 operations a second, the most that a matrix product reached. step_rate:
    those of the first way's steps.
    """

    threads: int
    product_rate: float
    step_rate: float
    steps: int
    ways: list[WayCost]


@dataclass(frozen=True)
class Benchmark:
    """Times of a paper's own step. skipped: way -> why it was left out.

    step_flops: floating-point operations of a step. peak_memory: bytes, of the whole process.
    """

    schema: int
    paper: str
    experiment: str
    config: dict[str, Any]
    started: str
    cpu: str
    gpu: str | None
    torch: str
    repeats: int
    step_flops: int
    peak_memory: float
    threads: list[ThreadsCost]
    skipped: dict[str, str]

    @property
    def numbers(self) -> list[int]:
        """Numbers of threads."""
        return [each.threads for each in self.threads]

    def as_json(self) -> dict[str, Any]:
        """Everything as plain data, which `read_benchmark` takes back."""
        return asdict(self)


@dataclass(frozen=True)
class Change:
    """How a way has changed: milliseconds a step before and now, and their ratio, new over old.

    ratio: its smallest and largest are those of any round against any earlier one. bare_ratio: the
    ratios to the bare loop, earlier and now, which other work on the machine changes less.
    """

    threads: int
    way: str
    before: float
    after: float
    ratio: Spread
    bare_ratio: tuple[float, float] | None


def spread(values: Sequence[float]) -> Spread:
    """The spread of some rounds' values, at least one."""
    return Spread(statistics.median(values), min(values), max(values))


def read_benchmark(file: Path) -> Benchmark:
    """What an earlier benchmark wrote. Raises UsageError for another file."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror})") from error
    try:
        return TypeAdapter(Benchmark).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise UsageError(
            f"{file}: is no result of bench ({where}: {first['msg']}, seen "
            f"{brief(first['input'])}). `research-cli bench PAPER --json > FILE` writes one."
        ) from error


class Earlier(Protocol):
    """What times can be compared with: a benchmark, or the speed of a run."""

    @property
    def experiment(self) -> str:
        """The experiment that was timed."""

    @property
    def cpu(self) -> str:
        """The processor."""

    @property
    def gpu(self) -> str | None:
        """The GPU, if it had one."""

    @property
    def numbers(self) -> list[int]:
        """Numbers of threads."""


def refuse_to_compare(
    before: Earlier, experiment: str, cpu: str, gpu: str | None, threads: Sequence[int]
) -> None:
    """Raise UsageError if earlier times are of another experiment, machine or threads."""
    for what, old, new in (
        ("experiment", before.experiment, experiment),
        ("CPU", before.cpu, cpu),
        ("GPU", before.gpu, gpu),
        ("threads", before.numbers, list(threads)),
    ):
        if old != new:
            raise UsageError(
                f"what came earlier has another {what}, so times can't be compared: "
                f"{_listed(old)} then, {_listed(new)} now"
            )


def compare_benchmarks(before: Benchmark, after: Benchmark) -> list[Change]:
    """How every way that both have has changed. Raises UsageError where they can't be compared."""
    refuse_to_compare(before, after.experiment, after.cpu, after.gpu, after.numbers)
    changes = []
    for old, new in zip(before.threads, after.threads, strict=True):
        earlier = {each.way: each for each in old.ways}
        for way in new.ways:
            if (then := earlier.get(way.way)) is None:
                continue
            both = (then.ratio.median, way.ratio.median) if then.ratio and way.ratio else None
            changes.append(change(new.threads, way.way, then.wall, way.wall, both))
    return changes


def change(
    threads: int,
    way: str,
    was: Spread,
    now: Spread,
    bare_ratio: tuple[float, float] | None = None,
) -> Change:
    """How a way has changed. was, now: milliseconds a step."""
    ratio = Spread(now.median / was.median, now.smallest / was.largest, now.largest / was.smallest)
    return Change(threads, way, was.median, now.median, ratio, bare_ratio)


def _listed(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value or "none")
