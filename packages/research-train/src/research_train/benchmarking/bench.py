"""Time a paper's own step in several ways: a plain loop, the Trainer, fused, compiled."""

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import torch
from research_data import ResearchError, UsageError
from research_data.assets.verify import count_cores
from research_data.progress import ProgressLine
from research_data.shown import counted, did_you_mean
from torch import Tensor

from research_train.benchmarking.captured import captured_fit
from research_train.benchmarking.loops import BareLoop, Loop, TrainerLoop
from research_train.benchmarking.result import (
    SCHEMA,
    Benchmark,
    Earlier,
    Spread,
    ThreadsCost,
    WayCost,
    refuse_to_compare,
    spread,
)
from research_train.benchmarking.scratch import Scratch, scratch_runs
from research_train.benchmarking.step_times import (
    Cost,
    stage_times,
    step_cost,
    step_flops,
    step_memory,
)
from research_train.errors import RunError
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.loop.matrix_product import matrix_product_rate
from research_train.loop.training_log import peak_memory
from research_train.processes.srun import refuse_tasks
from research_train.record.environment import describe_environment, find_device
from research_train.record.record import utc_now
from research_train.versions.hand_over import needs_another_process

WARM_UP = 20  # steps before the clock: allocation, choice of kernels, compiling
ROUND = 1.0  # seconds that the steps of a round take, about
FUSABLE = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


@dataclass(frozen=True)
class Way:
    """A way of stepping: config overrides, for the Trainer or for a plain loop in its place."""

    name: str
    overrides: tuple[str, ...]
    bare: bool = False
    fused: bool = False


WAYS = (
    Way("bare", ("compile=no", "tensorboard=false", "wandb=disabled"), bare=True),
    Way("trainer", ("compile=no",)),
    Way("fused", ("compile=no",), fused=True),
    Way("compiled", ("compile=step",)),
)


def default_threads() -> list[int]:
    """One thread, and as many as this process may use cores."""
    return sorted({1, count_cores()})


def bench(
    experiment: Experiment,
    overrides: Sequence[str] = (),
    threads: Sequence[int] = (),
    repeats: int = 7,
    steps: int | None = None,
    ways: Sequence[str] = (),
    before: Earlier | None = None,
    quiet: bool = True,
) -> Benchmark:
    """Time the experiment's own step in all of WAYS that its training allows.

    overrides: `key=value` words. threads: of torch on the CPU, in turn; by default one, and one a
    core. repeats: rounds; in each every way takes its turn, in every other one backwards. steps: of
    one turn; by default as many as take a second. ways: names of WAYS, by default all. before:
    refuse at once what can't be compared with it. quiet: show no progress. The runs lie in a
    temporary folder, and are removed.
    Raises ConfigError, UsageError, RequirementError, HubError, and RunError for a training that
    has no step of a Trainer, or a paper that runs releases.
    """
    refuse_tasks("research-cli bench")
    config = load_config(experiment, overrides)
    numbers = list(threads) or default_threads()
    chosen = _chosen_ways(ways)
    if repeats < 1 or min(numbers) < 1 or (steps is not None and not 1 <= steps <= config.steps):
        raise UsageError(
            f"repeats and threads must be 1 or more, and steps from 1 to the training's "
            f"{config.steps}: repeats {repeats}, threads {numbers}, steps {steps}"
        )
    if needs_another_process(experiment.member):
        raise RunError(
            f"{experiment.member.distribution} requires releases of our packages: bench times the "
            "workspace's own code"
        )
    here = describe_environment()
    if before is not None:
        refuse_to_compare(before, experiment.name, here.cpu, here.gpu, numbers)
    was, started, line = torch.get_num_threads(), utc_now(), ProgressLine(quiet)
    skipped: dict[str, str] = {}
    flops, found = 0, []
    try:
        with scratch_runs(experiment, overrides) as scratch:
            for number in numbers:
                torch.set_num_threads(number)
                flops, cost = _at_threads(scratch, chosen, number, repeats, steps, skipped, line)
                found.append(cost)
    finally:
        torch.set_num_threads(was)
        line.clear()
    return Benchmark(
        schema=SCHEMA,
        paper=experiment.member.name,
        experiment=experiment.name,
        config=config.model_dump(mode="json"),
        started=started,
        cpu=here.cpu,
        gpu=here.gpu,
        torch=version("torch"),  # as a record has it, without +cu128
        repeats=repeats,
        step_flops=flops,
        peak_memory=peak_memory(find_device(config.device)),
        threads=found,
        skipped=skipped,
    )


def _at_threads(
    scratch: Scratch,
    ways: Sequence[Way],
    threads: int,
    repeats: int,
    steps: int | None,
    skipped: dict[str, str],
    line: ProgressLine,
) -> tuple[int, ThreadsCost]:
    """The operations of a step, and the costs at one number of threads."""
    loops: dict[str, Loop] = {}
    weights: dict[str, list[Tensor]] = {}
    with ExitStack() as stack:
        for way in ways:
            if line.due():
                line.show(f"{counted(threads, 'thread')}: {way.name} warms up")
            try:
                loop = stack.enter_context(_opened(scratch, way))
            except ResearchError as error:
                if way.name == "trainer" or len(ways) == 1:
                    raise
                skipped[way.name] = str(error)
                continue
            loops[way.name] = loop
            weights[way.name] = [each.detach().clone() for each in loop.trainer.model.parameters()]
        first = next(iter(loops.values()))
        count = steps or _steps_of_a_round(first)
        rounds = _rounds(loops, count, repeats, threads, line)
        flops = step_flops(first)
        rate = matrix_product_rate(first.trainer.device)
        costs = [_way_cost(name, loop, rounds, weights, count) for name, loop in loops.items()]
    step_rate = flops / (costs[0].wall.median / 1000)
    return flops, ThreadsCost(threads, rate, step_rate, count, costs)


def _chosen_ways(names: Sequence[str]) -> list[Way]:
    known = [way.name for way in WAYS]
    for name in names:
        if name not in known:
            raise UsageError(
                f"no way of stepping {name!r}.{did_you_mean(name, known)} They are: "
                f"{', '.join(known)}"
            )
    return [way for way in WAYS if way.name in names or not names]


@contextmanager
def _opened(scratch: Scratch, way: Way) -> Iterator[Loop]:
    """A loop in this way, after its warm-up; the seed makes all ways train alike."""
    run = scratch.new_run(way.overrides)
    with run.attempt():
        captured = captured_fit(scratch.experiment, run)
        if way.fused:
            _fuse(captured.trainer.optimizer)
        loop: Loop = BareLoop(captured, run) if way.bare else TrainerLoop(captured, run)
        loop.run(min(WARM_UP, run.config.steps))
        yield loop
        run.record.metrics = {}


def _fuse(optimizer: object) -> None:
    """Have an optimizer that has made no step use one kernel. Raises RunError for another."""
    if not isinstance(optimizer, FUSABLE):
        raise RunError(f"torch has no fused kernel for {type(optimizer).__name__}")
    if all(group["fused"] for group in optimizer.param_groups):
        raise RunError("the paper's own optimizer is fused already")
    for group in optimizer.param_groups:
        group["fused"], group["foreach"] = True, False


def _steps_of_a_round(loop: Loop) -> int:
    """As many steps as take about ROUND seconds, within the training's own number."""
    most = int(loop.trainer.config.steps)
    seconds = step_cost(loop, min(WARM_UP, most)).wall
    return min(most, max(WARM_UP, math.ceil(ROUND / seconds)))


def _rounds(
    loops: dict[str, Loop], count: int, repeats: int, threads: int, line: ProgressLine
) -> list[dict[str, Cost]]:
    """The costs of every round by way; a round before the first warms up and doesn't count."""
    rounds = []
    for number in range(repeats + 1):
        names = list(loops)[:: (-1) ** number]  # a machine that warms up favours none
        costs = {}
        for name in names:
            if line.due():
                line.show(f"{counted(threads, 'thread')}, round {number} of {repeats}: {name}")
            costs[name] = step_cost(loops[name], count)
        rounds.append(costs)
    return rounds[1:]


def _way_cost(
    name: str,
    loop: Loop,
    rounds: Sequence[dict[str, Cost]],
    weights: dict[str, list[Tensor]],
    count: int,
) -> WayCost:
    mine = [each[name] for each in rounds]
    bare = [each["bare"] for each in rounds if "bare" in each]
    stages = stage_times(loop, count)
    return WayCost(
        way=name,
        wall=spread([1000 * each.wall for each in mine]),
        processor=spread([1000 * each.processor for each in mine]),
        ratio=_ratios([each.wall for each in mine], [each.wall for each in bare]),
        processor_ratio=_ratios(
            [each.processor for each in mine], [each.processor for each in bare]
        ),
        peak_bytes=step_memory(loop),
        stages={stage: 1000 * seconds for stage, seconds in stages.items()},
        same_weights=all(map(torch.equal, weights[name], weights["bare"])) if bare else None,
    )


def _ratios(values: Sequence[float], bare: Sequence[float]) -> Spread | None:
    """The ratios to the bare loop's values, round by round; None without that loop."""
    return spread([a / b for a, b in zip(values, bare, strict=True)]) if bare else None
