"""Judge a claim: from the numbers of its seeds to a verdict.

**Statistics** (statistics.py): the mean over the seeds and a 95 % interval for it, wider for
few and skewed seeds. A claim of one seed is deterministic: its interval is the number itself; so is
that of a claim whose seeds all give one number, which is said. Of an ordering every step is tested
at once (Holm), and the weakest one is shown with its part of the error. A plan that may be extended
looks twice and gives each look half of the error (Bonferroni's inequality, O. J. Dunn, JASA 56,
1961): it holds for looks of any size, where P. C. Pocock's levels (Biometrika 64, 1977) need equal
ones, and its 1.25 % a side and look is little below their 1.47 %.

**Verdicts.** `reproduced`: the whole interval lies within the tolerance of what was published, or
past it on the good side of a directed claim; of a bound, on the claimed side. `better`: wholly past
the tolerance there. `not reproduced`: wholly outside. `undecided`: it straddles. `known gap`: not
reproduced, and the interval holds, within the tolerance, what the authors' own code gives. Edges
are compared so that the last bit of a float decides nothing. Words beside a verdict are `notes`.

What follows from censored numbers is numbers.py's table.
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
    "judge",
    "metric_of_run",
    "read_claims",
    "seed_value",
    "with_set_after",
]


@dataclass(frozen=True)
class Finding:
    """What was found for a claim.

    values: of each seed, of an ordering those of its weakest step. mean: over them, of the known
    ends where some are censored, and None where nothing is known. interval: of the mean, both ends,
    perhaps infinite. n: how many seeds that rests on, 1 where the seed changes nothing.
    seeds_needed: how many a new plan would take to decide an undecided one, about.
    notes: words beside the verdict. steps: of an ordering, each step and its numbers.
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
    def half_width(self) -> float | None:
        """Half of the interval; None where there is none, of a single number or without an end."""
        half = (self.interval[1] - self.interval[0]) / 2
        return half if self.n > 1 and math.isfinite(half) else None

    @property
    def known_values(self) -> list[float]:
        """Of every seed a finite number to draw: the known end of a censored one."""
        return known_ends(self.values)


def judge(claim: Claim, values: Sequence[SeedValue], set_after: int | None = None) -> Finding:
    """The verdict on a claim from the numbers of its seeds, in their order.

    set_after: of how many runs of its setting the claim was set afterwards, which is noted.
    Raises ClaimsError for a single seed where the claim is not deterministic, or for no number.
    """
    every = [
        end
        for value in values
        for each in steps_of(value)
        for end in (ends_of(each).low, ends_of(each).high)
    ]
    if not every or any(math.isnan(end) for end in every) or _infinite(values):
        raise ClaimsError(f"claim {claim.name}: {list(values)} are no numbers to judge by")
    if len(values) == 1 and claim.seeds > 1:
        raise ClaimsError(
            f"claim {claim.name}: one seed gives no interval. Run two or more, or say `seeds: 1` "
            f"in {CLAIMS} where nothing is random."
        )
    try:
        of_kind = _ordering if claim.kind == "ordering" else _one_number
        finding = of_kind(claim, values)
    except OverflowError as error:
        raise ClaimsError(
            f"claim {claim.name}: {list(values)} are too large to judge by"
        ) from error
    notes = [*finding.notes]
    if len(values) not in claim.planned:
        notes.append(f"not the planned {' or '.join(map(str, claim.planned))} seeds")
    return replace(finding, notes=with_set_after(notes, set_after))


def with_set_after(notes: Sequence[str], set_after: int | None) -> tuple[str, ...]:
    """The notes of a finding, with that its claim was set after so many runs of its setting."""
    if not set_after:
        return tuple(notes)
    return (*notes, f"set after {counted(set_after, 'run')}")


def _one_number(claim: Claim, values: Sequence[SeedValue]) -> Finding:
    """Of a claim whose seeds have one number each."""
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
        # A feature has few positions: seeds may agree on one and differ in all else.
        1 if same and claim.kind != "feature" else len(values),
        tuple(_notes(claim, numbers, same)),
    )


def _ordering(claim: Claim, values: Sequence[SeedValue]) -> Finding:
    """Every step tested at once: Holm's levels for all above 0, and for any below 0."""
    groups = list(claim.overrides)
    names = [f"{before} to {after}" for before, after in pairwise(groups)]
    rows = [steps_of(value) for value in values]
    smallest_alone = len(names) > 1 and all(len(row) == 1 for row in rows)
    if smallest_alone:  # as results.json had it before every step was kept
        names = ["the smallest of each seed"]
    if any(len(row) != len(names) for row in rows):
        raise ClaimsError(f"claim {claim.name}: every seed has {len(names)} steps, not {rows}")
    steps = [[row[index] for row in rows] for index in range(len(names))]
    per_side = PER_SIDE / claim.looks
    lows = [[ends_of(each).low for each in step] for step in steps]
    highs = [[ends_of(each).high for each in step] for step in steps]
    one = all(map(_is_one, [*lows, *highs]))
    up = [_p_above(step, one) for step in lows]
    down = [_p_above([-each for each in step], one) for step in highs]
    if one:  # nothing is random: a step that isn't up is enough
        down = [1.0 - p if high <= 0 else 1.0 for p, (high, *_) in zip(up, highs, strict=True)]
    up_levels, down_levels = holm_levels(up, per_side), holm_levels(down, per_side)
    below = [p <= level for p, level in zip(down, down_levels, strict=True)]
    verdict: Verdict = "undecided"
    weakest = up.index(max(up))
    if up[weakest] <= up_levels[weakest]:
        verdict = "reproduced"
    elif any(below) and not smallest_alone:  # the mean of smallest steps is below 0 for less
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
    """Words for what an interval can't say."""
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
    """The lower end of the interval of numbers of which these are the lower ends."""
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
