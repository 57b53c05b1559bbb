"""Judge a claim: from the numbers of its seeds to a verdict.

**Statistics** (statistics.py): the mean over the seeds and a 95 % interval for it, wider for
few and skewed seeds. A claim with one seed is deterministic: its interval is the number itself. The
same holds where all seeds give one number; a note then says so. All steps of an ordering are tested
at once (Holm), and the weakest one is shown with its share of the error. A plan that may be
extended looks twice, and each look gets half of the error (Bonferroni's inequality, O. J. Dunn,
JASA 56, 1961). That holds for looks of any size, whereas P. C. Pocock's levels (Biometrika 64,
1977) need looks of equal size; its 1.25 % per side and look is little below their 1.47 %.

**Verdicts.** `reproduced`: the whole interval lies within the tolerance of what was published, or
beyond it on the good side of a directed claim; for a bound, on the claimed side. `better`: the
whole interval lies beyond the tolerance on the good side. `not reproduced`: it lies wholly outside.
`undecided`: it lies across an edge. `known gap`: not reproduced, and the interval contains, within
the tolerance, what the authors' own code gives. Edges are compared so that the last bit of a float
decides nothing. Remarks shown beside a verdict are `notes`. `awaiting`: the claim's runs need
hardware that this machine lacks; it counts neither as reproduced nor as failed.

numbers.py has a table of what follows from censored numbers.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from research_data.shown import counted

from research_train.claims.file import CLAIMS, Claim, Claims, KnownGap, read_claims
from research_train.claims.numbers import (
    Censored,
    Number,
    SeedValue,
    any_censored,
    ends_of,
    known_ends,
    metric_of_run,
    seed_value,
    steps_of,
)
from research_train.claims.statistics import (
    PER_SIDE,
    holm_levels,
    is_constant,
    mean_interval,
    oddity,
    p_above,
)
from research_train.claims.verdict import Verdict, as_published, seeds_needed, verdict_between
from research_train.errors import ClaimsError

__all__ = [
    "CLAIMS",
    "Censored",
    "Claim",
    "Claims",
    "Finding",
    "KnownGap",
    "Number",
    "SeedValue",
    "Verdict",
    "await_hardware",
    "judge",
    "metric_of_run",
    "read_claims",
    "seed_value",
    "with_set_after",
]


@dataclass(frozen=True)
class Finding:
    """What was found for a claim.

    values: one number per seed; for an ordering, the numbers of its weakest step.
    mean: the mean of the values, or of their known ends where some are censored; None where no end
    is known. interval: both ends of the interval of the mean, which may be infinite.
    n: number of seeds that this rests on; 1 where the seed changes nothing.
    seeds_needed: for an undecided claim, about how many seeds a new plan would take to decide it.
    notes: remarks shown beside the verdict. steps: for an ordering, each step and its numbers.
    """

    claim: Claim
    values: list[Number]
    mean: float | None
    interval: tuple[float, float]
    verdict: Verdict
    seeds_needed: int | None = None
    n: int = 1
    notes: tuple[str, ...] = ()
    steps: Mapping[str, list[Number]] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The verdict as it is shown and counted: `scaled (reproduced)` at a smaller scale."""
        if self.claim.scale is None or self.verdict == "awaiting":
            return self.verdict
        return f"scaled ({self.verdict})"

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval; None for a single number or an infinite end."""
        half = (self.interval[1] - self.interval[0]) / 2
        return half if self.n > 1 and math.isfinite(half) else None

    @property
    def known_values(self) -> list[float]:
        """The finite numbers of the seeds, to draw: of a censored number, its known end."""
        return known_ends(self.values)


def judge(claim: Claim, values: Sequence[SeedValue], set_after: int | None = None) -> Finding:
    """The verdict on a claim from the numbers of its seeds, in their order.

    set_after: number of runs of its setting that existed before the claim was set; a note says so.
    Raises ClaimsError when there is a single seed though the claim is not deterministic, and when
    a value is not a finite number.
    """
    every = [
        end
        for value in values
        for each in steps_of(value)
        for end in (ends_of(each).low, ends_of(each).high)
    ]
    if not every or any(math.isnan(end) for end in every) or _infinite(values):
        raise ClaimsError(
            f"claim {claim.name}: it can't be judged, since its seeds gave {list(values)}"
        )
    if len(values) == 1 and claim.seeds > 1:
        raise ClaimsError(
            f"claim {claim.name}: one seed gives no interval. Run two or more seeds, or write "
            f"`seeds: 1` in {CLAIMS} if nothing is random."
        )
    try:
        of_kind = _ordering if claim.kind == "ordering" else _one_number
        finding = of_kind(claim, values)
    except OverflowError as error:
        raise ClaimsError(
            f"claim {claim.name}: the numbers are too large to compute with: {list(values)}"
        ) from error
    notes = [*finding.notes]
    if len(values) not in claim.planned:
        notes.append(f"not the planned {' or '.join(map(str, claim.planned))} seeds")
    return replace(finding, notes=with_set_after(notes, set_after))


def await_hardware(claim: Claim) -> Finding:
    """The finding on a claim whose runs can't be made here. claim: one that says `awaiting`."""
    nothing = (-math.inf, math.inf)
    return Finding(claim, [], None, nothing, "awaiting", n=0, notes=(str(claim.awaiting),))


def with_set_after(notes: Sequence[str], set_after: int | None) -> tuple[str, ...]:
    """The notes, and one more if the claim was set after some runs of its setting existed."""
    if not set_after:
        return tuple(notes)
    return (*notes, f"set after {counted(set_after, 'run')}")


def _one_number(claim: Claim, values: Sequence[SeedValue]) -> Finding:
    """The finding for a claim whose seeds have one number each."""
    numbers = [each for value in values for each in steps_of(value)]
    lows, highs = [ends_of(each).low for each in numbers], [ends_of(each).high for each in numbers]
    per_side = PER_SIDE / claim.looks
    one = _is_one(lows) and _is_one(highs)
    read = float if claim.kind == "ratio" or len(claim.metrics) > 1 else as_published
    low = read(lows[0]) if one else _end(lows, per_side)
    high = read(highs[0]) if one else -_end([-each for each in highs], per_side)
    verdict = verdict_between(claim, low, high)
    needed = None
    if verdict == "undecided" and not one and not any_censored(numbers):
        needed = seeds_needed(lows, lambda *ends: verdict_between(claim, *ends))
    same = one and len(values) > 1 and not any_censored(numbers)
    return Finding(
        claim,
        numbers,
        _mean(numbers),
        (low, high),
        verdict,
        needed,
        # A feature has few positions: seeds may agree on it though everything else differs.
        1 if same and claim.kind != "feature" else len(values),
        tuple(_notes(claim, numbers, same)),
    )


def _ordering(claim: Claim, values: Sequence[SeedValue]) -> Finding:
    """Test all steps at once with Holm's levels: whether all are above 0, and any is below 0."""
    groups = list(claim.overrides)
    names = [f"{before} to {after}" for before, after in pairwise(groups)]
    rows = [steps_of(value) for value in values]
    smallest_alone = len(names) > 1 and all(len(row) == 1 for row in rows)
    if smallest_alone:  # an older results.json kept only the smallest step of each seed
        names = ["the smallest of each seed"]
    if any(len(row) != len(names) for row in rows):
        raise ClaimsError(
            f"claim {claim.name}: every seed must have {len(names)} steps; these are {rows}"
        )
    steps = [[row[index] for row in rows] for index in range(len(names))]
    per_side = PER_SIDE / claim.looks
    lows = [[ends_of(each).low for each in step] for step in steps]
    highs = [[ends_of(each).high for each in step] for step in steps]
    one = all(map(_is_one, [*lows, *highs]))
    up = [_p_above(step, one) for step in lows]
    down = [_p_above([-each for each in step], one) for step in highs]
    if one:  # nothing is random: one step that isn't above 0 refutes the order
        down = [1.0 - p if high <= 0 else 1.0 for p, (high, *_) in zip(up, highs, strict=True)]
    up_levels, down_levels = holm_levels(up, per_side), holm_levels(down, per_side)
    below = [p <= level for p, level in zip(down, down_levels, strict=True)]
    verdict: Verdict = "undecided"
    weakest = up.index(max(up))
    if up[weakest] <= up_levels[weakest]:
        verdict = "reproduced"
    # The mean of each seed's smallest step may be below 0 though every true step is above 0.
    elif any(below) and not smallest_alone:
        verdict, weakest = "not reproduced", down.index(min(down))
    shown = steps[weakest]
    if one:
        interval = (lows[weakest][0], highs[weakest][0])
    else:
        low = _end(lows[weakest], up_levels[weakest])
        interval = (low, -_end([-each for each in highs[weakest]], down_levels[weakest]))
    needed = None
    if verdict == "undecided" and not one and not any_censored(shown):
        needed = seeds_needed(
            lows[weakest], lambda low, high: "undecided" if low <= 0 <= high else "reproduced"
        )
    same = one and len(values) > 1 and not any(map(any_censored, steps))
    notes = [f"weakest step {names[weakest]}"] if len(groups) > 2 else []
    return Finding(
        claim,
        list(shown),
        _mean(shown),
        interval,
        verdict,
        needed,
        1 if same else len(values),
        (*notes, *_notes(claim, shown, same)),
        dict(zip(names, steps, strict=True)) if not smallest_alone else {},
    )


def _notes(claim: Claim, numbers: Sequence[Number], same: bool) -> list[str]:
    """What a reader must know that the interval doesn't show."""
    notes = []
    if same:
        notes.append(
            f"all {len(numbers)} seeds agree"
            if claim.kind == "feature"
            else "the seed changes nothing: n = 1"
        )
    censored = [each for each in numbers if isinstance(each, Censored)]
    if censored:
        limit = claim.censored_at
        if len(claim.metrics) == 1 and claim.kind in ("value", "bound"):
            limit = censored[0].low
        unit = claim.unit or ("steps" if "step" in claim.metric else "")
        within = f"{limit:,.15g} {unit}".strip() if isinstance(limit, float) else "its steps"
        share = f"{len(censored)} of {len(numbers)} " if len(numbers) > 1 else ""
        notes.append(f"{share}not within {within}")
    elif not same and (word := oddity(known_ends(numbers))):
        notes.append(word)
    return notes


def _end(lows: Sequence[float], per_side: float) -> float:
    """The lower end of the interval of the mean, from the lower ends of the numbers."""
    return mean_interval(lows, per_side)[0] if all(map(math.isfinite, lows)) else -math.inf


def _p_above(lows: Sequence[float], one: bool) -> float:
    if one:
        return 0.0 if lows[0] > 0 else 1.0
    return p_above(lows) if all(map(math.isfinite, lows)) else 1.0


def _is_one(values: Sequence[float]) -> bool:
    if not all(map(math.isfinite, values)):
        return len(set(values)) == 1
    return is_constant(values)


def _mean(numbers: Sequence[Number]) -> float | None:
    known = known_ends(numbers)
    return statistics.fmean(known) if known else None


def _infinite(values: Sequence[SeedValue]) -> bool:
    every = [each for value in values for each in steps_of(value)]
    return any(not isinstance(each, Censored) and math.isinf(each) for each in every)
