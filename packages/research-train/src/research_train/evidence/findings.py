"""Compute from the recorded runs the seeds' numbers and the verdict of each claim."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from research_data.shown import did_you_mean

from research_train.claims.claim import (
    Censored,
    Claim,
    Finding,
    Number,
    SeedValue,
    judge,
    metric_of_run,
    seed_value,
)
from research_train.errors import ClaimsError
from research_train.evidence.plan import Plan
from research_train.evidence.trainings import Failed, NeededRun, Setting
from research_train.record.metrics_file import read_metrics
from research_train.record.summary import RunSummary


@dataclass
class Found:
    """What the runs show. runs: claim -> its runs. failed: the runs that gave no number."""

    findings: list[Finding] = field(default_factory=list)
    runs: dict[str, list[RunSummary]] = field(default_factory=dict)
    failed: list[Failed] = field(default_factory=list)


def find(plan: Plan, needed: Sequence[NeededRun], failed: Sequence[Failed] = ()) -> Found:
    """Judge every claim of a plan by its runs. failed: the trainings that are known to have failed.

    A claim with too few numbers gets no finding if any run failed; else it raises ClaimsError.
    """
    evidence = {(each.setting, each.seed): each for each in needed}
    found = Found(failed=list(failed))
    for claim in plan.chosen:
        settings = plan.settings[claim.name]
        values, runs = _values(claim, settings, plan.seeds[claim.name], evidence, found.failed)
        found.runs[claim.name] = runs
        if len(values) > 1 or (values and claim.seeds == 1):
            found.findings.append(judge(claim, values))
        elif not found.failed:
            judge(claim, values)  # raises, saying what is missing
    return found


def undecided_at_first_look(plan: Plan, needed: Sequence[NeededRun]) -> list[Claim]:
    """The claims that may be extended, and whose first look has all its seeds and is undecided."""
    evidence = {(each.setting, each.seed): each for each in needed}
    undecided = []
    for claim in plan.chosen:
        if claim.extend_to is None or plan.seeds[claim.name] != claim.seeds:
            continue
        settings = plan.settings[claim.name]
        values, _ = _values(claim, settings, claim.seeds, evidence, [])
        if len(values) == claim.seeds and judge(claim, values).verdict == "undecided":
            undecided.append(claim)
    return undecided


def _values(
    claim: Claim,
    settings: Mapping[str, Setting],
    seeds: int,
    evidence: Mapping[tuple[Setting, int], NeededRun],
    failed: list[Failed],
) -> tuple[list[SeedValue], list[RunSummary]]:
    """The numbers of a claim's seeds, and their runs; a run without a number is added to failed."""
    values: list[SeedValue] = []
    runs: dict[Path, RunSummary] = {}
    for seed in range(seeds):
        of_seed = {group: evidence[setting, seed] for group, setting in settings.items()}
        runs |= {each.run.folder: each.run for each in of_seed.values() if each.run}
        value = _value_of_seed(claim, of_seed, failed)
        values += [] if value is None else [value]
    return values, list(runs.values())


def _value_of_seed(
    claim: Claim, of_seed: Mapping[str, NeededRun], failed: list[Failed]
) -> SeedValue | None:
    """The number of one seed; None if it has none, and then its run is in failed."""
    metrics: dict[str, Number] = {}
    for group, needed in of_seed.items():
        if needed.run is None:
            return None  # its training failed, and is in failed already
        _metrics_known(claim, needed.run)
        steps = last_step(needed.run) if claim.censored_at == "steps" else None
        try:
            metrics[group] = metric_of_run(claim, needed.run.metrics, steps)
        except ClaimsError as error:
            failed.append(Failed(needed, str(error)))
            return None
    value = seed_value(claim, metrics)
    if isinstance(value, float) and not math.isfinite(value):
        shown = ", ".join(map(_shown, metrics.values()))
        why = f"a claim of the kind {claim.kind} can't be computed from {shown}"
        failed.append(Failed(next(iter(of_seed.values())), why))
        return None
    return value


def last_step(run: RunSummary) -> float | None:
    """The last step that a run logged: patience may have ended it before its `steps`."""
    steps = [step for point in read_metrics(run.folder) if (step := point["step"]) is not None]
    return max(steps, default=None)


def _metrics_known(claim: Claim, run: RunSummary) -> None:
    for name in claim.metrics:
        if name not in run.metrics:
            known = ", ".join(run.metrics) or "none"
            raise ClaimsError(
                f"claim {claim.name}: {run.id} has no final metric {name!r}."
                f"{did_you_mean(name, run.metrics)} It has: {known}"
            )


def _shown(number: Number) -> str:
    return f"at least {number.low:g}" if isinstance(number, Censored) else str(number)
