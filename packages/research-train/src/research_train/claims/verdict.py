"""Give the verdict that an interval allows on a claim, and the seeds that would decide it."""

import math
import statistics
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from research_train.claims.file import Claim
from research_train.claims.statistics import SAME, skewness, standard_ends

Verdict = Literal["reproduced", "better", "not reproduced", "undecided", "known gap", "awaiting"]
VerdictOf = Callable[[float, float], Verdict]
MOST_SEEDS = 1000  # nobody would follow the advice to run more
FLOAT32_SEEN = 15  # a float64 with this many digits or more may have been a float32


def verdict_between(claim: Claim, low: float, high: float) -> Verdict:
    """The verdict on a claim whose number lies between low and high, both in the claim's unit."""
    tolerance = claim.tolerance or 0.0
    lower, upper = claim.published - tolerance, claim.published + tolerance
    scale = abs(claim.published) + tolerance

    def below(one: float, other: float) -> bool:
        """Whether one is less than other by more than rounding."""
        if math.isinf(one) or math.isinf(other):
            return one < other
        return other - one > SAME * max(abs(one), abs(other), scale)

    if claim.bound is not None:
        holds, fails = {
            "at_least": (not below(low, claim.bound), below(high, claim.bound)),
            "above": (below(claim.bound, low), not below(claim.bound, high)),
            "at_most": (not below(claim.bound, high), below(claim.bound, low)),
            "below": (below(high, claim.bound), not below(low, claim.bound)),
        }[claim.side or "at_least"]
        if holds or not fails:
            return "reproduced" if holds else "undecided"
    else:
        if (claim.direction == "higher" and below(upper, low)) or (
            claim.direction == "lower" and below(high, lower)
        ):
            return "better"
        # A directed claim holds as well where the interval reaches beyond its good edge.
        if (not below(low, lower) or claim.direction == "lower") and (
            not below(upper, high) or claim.direction == "higher"
        ):
            return "reproduced"
        if not below(high, lower) and not below(upper, low):
            return "undecided"
    gap = claim.known_gap
    if gap and not below(gap.value, low - tolerance) and not below(high + tolerance, gap.value):
        return "known gap"
    return "not reproduced"


def seeds_needed(values: Sequence[float], verdict_of: VerdictOf) -> int | None:
    """The number of seeds with this mean, spread and skewness that would decide; None: too many."""
    mean, deviation, skew = statistics.fmean(values), statistics.stdev(values), skewness(values)

    def decides(count: int) -> bool:
        left, right = standard_ends(count, skew)
        error = deviation / math.sqrt(count)
        return verdict_of(mean - left * error, mean + right * error) != "undecided"

    few, many = len(values), MOST_SEEDS
    if not decides(many):
        return None
    while many - few > 1:  # the interval only narrows
        middle = (few + many) // 2
        few, many = (few, middle) if decides(middle) else (middle, many)
    return many


def as_published(value: float) -> float:
    """A number that was a float32, with a float32's digits: the share 0.8, not 0.800000011920929.

    A number with few digits stays as it is: 257 / 256 = 1.00390625 fits into a float32 as well,
    whose shortest digits are 1.0039062. Numbers computed from several metrics were no float32.
    """
    import numpy as np  # slow to import, and only needed here

    digits = Decimal(repr(value)).normalize().as_tuple().digits if math.isfinite(value) else ()
    if len(digits) < FLOAT32_SEEN:
        return value
    with np.errstate(over="ignore"):
        short = np.float32(value)
    return float(str(short)) if float(short) == value else value
