"""What came out of a sweep: its settings, best first, and what a budget of trials would give."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

from research_train.record.summary import RunSummary
from research_train.sweeps.metric import metric_of_run
from research_train.sweeps.study import Direction, State, Trial
from research_train.sweeps.sweep_file import Sweep


@dataclass(frozen=True)
class SettingOutcome:
    """A setting and what its runs gave.

    setting: key -> value as it was typed. values: seed -> the metric, None where it isn't finite.
    mean, sd: over the seeds; None unless the trial is complete, sd also for a single seed.
    seconds: of all its runs. why: why it failed.
    """

    trial: int
    setting: dict[str, str]
    state: State
    values: dict[int, float | None]
    mean: float | None
    sd: float | None
    seconds: float
    runs: list[str]
    why: str | None = None


@dataclass(frozen=True)
class BudgetPoint:
    """The expected best mean of a number of trials, and its standard deviation."""

    trials: int
    best: float
    sd: float


@dataclass(frozen=True)
class SweepOutcome:
    """A sweep as it stands. settings: best first; those without a mean last."""

    sweep: Sweep
    settings: list[SettingOutcome]

    @property
    def best(self) -> SettingOutcome | None:
        """The setting with the best mean; None while no trial is complete."""
        return next((each for each in self.settings if each.mean is not None), None)

    @property
    def budget(self) -> list[BudgetPoint]:
        """Expected best of n trials, for n up to those that ended; see `expected_best`."""
        ended = [each for each in self.settings if each.state in ("complete", "diverged")]
        return expected_best([each.mean for each in ended], self.sweep.direction)

    @property
    def states(self) -> dict[State, int]:
        """State -> how many trials are in it, where there are any."""
        counts = {state: sum(e.state == state for e in self.settings) for state in get_args(State)}
        return {state: count for state, count in counts.items() if count}

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        best = self.best
        return {
            "name": self.sweep.name,
            "folder": str(self.sweep.folder),
            "sweep": self.sweep.model_dump(mode="json"),
            "best": asdict(best) if best else None,
            "settings": [asdict(each) for each in self.settings],
            "budget": [asdict(each) for each in self.budget],
        }


def outcome_of(
    sweep: Sweep, trials: Sequence[Trial], runs: Mapping[int, Sequence[RunSummary]]
) -> SweepOutcome:
    """The outcome of a sweep. runs: trial -> its runs."""
    settings = [_setting(sweep, each, runs.get(each.number, ())) for each in trials]
    sign = -1 if sweep.is_max else 1

    def rank(each: SettingOutcome) -> tuple[bool, float, int]:
        return each.mean is None, sign * (each.mean or 0.0), each.trial

    return SweepOutcome(sweep, sorted(settings, key=rank))


def expected_best(means: Sequence[float | None], direction: Direction) -> list[BudgetPoint]:
    """Expected best of n trials drawn from these, for n from 1 to their number.

    Expected validation performance (Dodge et al., EMNLP 2019, equation 4): the chance that the best
    of n draws, with replacement, is at most the i-th smallest of N values is (i / N)^n. It holds
    for trials drawn independently, as by the random sampler. means: None for a trial that diverged,
    which counts as the worst; a draw of n that all diverged is left out of the mean.
    """
    sign = 1.0 if direction == "max" else -1.0
    finite = sorted(sign * each for each in means if each is not None)
    lost, total = len(means) - len(finite), len(means)
    points = []
    for n in range(1, total + 1 if finite else 0):
        below = [((lost + i) / total) ** n for i in range(len(finite) + 1)]
        reached = 1.0 - below[0]
        shares = [(below[i + 1] - below[i]) / reached for i in range(len(finite))]
        mean = math.fsum(share * value for share, value in zip(shares, finite, strict=True))
        spread = math.fsum(
            share * (value - mean) ** 2 for share, value in zip(shares, finite, strict=True)
        )
        points.append(BudgetPoint(n, sign * mean, math.sqrt(max(0.0, spread))))
    return points


def _setting(sweep: Sweep, trial: Trial, runs: Sequence[RunSummary]) -> SettingOutcome:
    values: dict[int, float | None] = {}
    for run in runs:
        if run.record is not None and run.status == "completed":
            values[run.record.seed] = metric_of_run(run, sweep.metric)
    numbers = [each for each in values.values() if each is not None]
    complete = trial.state == "complete"  # its runs may have been removed since
    return SettingOutcome(
        trial.number,
        trial.setting,
        trial.state,
        dict(sorted(values.items())),
        (statistics.fmean(numbers) if numbers else trial.value) if complete else None,
        statistics.stdev(numbers) if complete and len(numbers) > 1 else None,
        math.fsum(run.seconds or 0.0 for run in runs),
        [run.id for run in runs],
        trial.why,
    )
