"""Compute a claim's number for one seed from the final metrics of its runs.

Each kind computes one number from a seed's runs, one run per group of `overrides`:

| kind | the number of a seed |
|---|---|
| value, bound | the metric of the one group |
| ratio | the metric of the first group divided by that of the second |
| ordering | each difference from a group's metric to the next one's; in order if all are above 0 |
| feature | the position (a group's name, a number) where the metric is largest or smallest |
| fit | the slope of the metric over the positions; if `logarithmic`, of both as logarithms |

The metric may be a quotient or a difference of two metrics of one run.

**Censored numbers.** A metric that a run never reached is known to be at least `censored_at`. So a
seed's number is known to lie between two ends, of which one may be infinite. The interval's lower
end is computed from the lower ends: from the mean of min(X, c), which is at most the mean of X (the
restricted mean of J. O. Irwin, J. Hygiene 47, 1949). Its upper end is computed from the upper ends.
By kind:

| kind | what is known where a run never reached its metric |
|---|---|
| value | a lower bound of the mean: decided if that is beyond the tolerance, else undecided |
| bound | `at_least`, `above` hold if the lower ends do; `at_most`, `below` can never be shown |
| ratio, quotient | a lower bound if the dividend is censored, an upper one if the divisor is |
| ordering, difference | a lower bound if the later one is censored, an upper one if the earlier |
| feature | the positions that are possible; one only if one run alone lies beyond all others |
| fit | a bound of the slope if all censored numbers pull it to the same side |
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from research_train.claims.file import Claim
from research_train.errors import ClaimsError


@dataclass(frozen=True)
class Censored:
    """A number that is only known to lie between low and high; either may be infinite."""

    low: float = -math.inf
    high: float = math.inf


Number = float | Censored
SeedValue = Number | Sequence[Number]  # for an ordering all steps, for other kinds one number


def metric_of_run(
    claim: Claim, metrics: Mapping[str, float | None], steps: float | None = None
) -> Number:
    """The claim's metric of one run, censored where the run never reached it.

    metrics: the run's final metrics; None for NaN. steps: the last step of the run, for
    `censored_at: steps`. Raises ClaimsError when a metric is not finite and the claim has no
    `censored_at`, or for a division by zero.
    """
    found = []
    for name in claim.metrics:
        value = metrics[name]
        if value is None or not math.isfinite(value):
            limit = steps if claim.censored_at == "steps" else claim.censored_at
            if limit is None:
                raise ClaimsError(
                    f"its {name} was not a finite number (if that means that the run never reached "
                    "it, write `censored_at: steps` or `censored_at: NUMBER` in the claim)"
                )
            found.append(Censored(low=float(limit)))
        else:
            found.append(Censored(value, value))
    if claim.operator == "-":
        return _number(_difference(*found))
    if claim.operator == "/":
        if found[1].low == found[1].high == 0:
            raise ClaimsError(f"its {claim.metric} is a division by zero")
        return _number(_quotient(*found))
    return _number(found[0])


def seed_value(claim: Claim, metrics: Mapping[str, Number]) -> Number | tuple[Number, ...]:
    """The number of one seed; for an ordering, its steps. metrics: group -> metric of its run.

    NaN for a division by zero, or the logarithm of a number that is not above 0.
    """
    values = [ends_of(metrics[group]) for group in claim.overrides]
    if claim.kind in ("value", "bound"):
        return _number(values[0])
    if claim.kind == "ratio":
        divisor = values[1]
        return math.nan if divisor.low == divisor.high == 0 else _number(_quotient(*values))
    if claim.kind == "ordering":
        return tuple(_number(_difference(after, before)) for before, after in pairwise(values))
    positions = [float(group) for group in claim.overrides]
    if claim.kind == "feature":
        return _number(_extreme(positions, values, claim.at))
    if claim.logarithmic:
        if min(each.low for each in values) <= 0:
            return math.nan
        positions = [math.log(x) for x in positions]
        values = [Censored(math.log(each.low), _log(each.high)) for each in values]
    return _number(_slope(positions, values))


def known_ends(numbers: Sequence[Number]) -> list[float]:
    """All lower ends if they are finite, else all upper ends if finite, else the exact numbers."""
    lows, highs = [ends_of(each).low for each in numbers], [ends_of(each).high for each in numbers]
    if all(map(math.isfinite, lows)):
        return lows
    if all(map(math.isfinite, highs)):
        return highs
    return [each for each in numbers if not isinstance(each, Censored)]


def steps_of(value: SeedValue) -> Sequence[Number]:
    """The numbers of one seed: the steps of an ordering, or the one number of another kind."""
    return value if isinstance(value, Sequence) else [value]


def ends_of(number: Number) -> Censored:
    """The ends between which a number lies; both are the number itself if it is known."""
    return number if isinstance(number, Censored) else Censored(number, number)


def _number(ends: Censored) -> Number:
    return ends.low if ends.low == ends.high else ends


def any_censored(numbers: Sequence[Number]) -> bool:
    """Whether one of them is not known exactly."""
    return any(isinstance(each, Censored) for each in numbers)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _difference(one: Censored, other: Censored) -> Censored:
    """one - other, computed in decimals: 0.3 - 0.1 is 0.2."""
    return Censored(_minus(one.low, other.high), _minus(one.high, other.low))


def _minus(one: float, other: float) -> float:
    if not (math.isfinite(one) and math.isfinite(other)):
        return one - other
    return float(_decimal(float(one)) - _decimal(float(other)))


def _quotient(one: Censored, other: Censored) -> Censored:
    """one / other; nothing is known of it if the divisor may be 0."""
    if other.low <= 0 <= other.high:
        return Censored()
    if other.high < 0:
        one, other = Censored(-one.high, -one.low), Censored(-other.high, -other.low)
    return Censored(
        one.low / (other.high if one.low >= 0 else other.low),
        one.high / (other.low if one.high >= 0 else other.high),
    )


def _extreme(
    positions: Sequence[float], values: Sequence[Censored], at: Literal["largest", "smallest"]
) -> Censored:
    """The first and last position at which the value may be the largest (smallest)."""
    if at == "smallest":
        values = [Censored(-each.high, -each.low) for each in values]
    least = max(each.low for each in values)
    if all(each.low == each.high for each in values):  # of equal values, take the first
        first = next(i for i, each in enumerate(values) if each.low == least)
        return Censored(positions[first], positions[first])
    could = [p for p, each in zip(positions, values, strict=True) if each.high >= least]
    return Censored(min(could), max(could))


def _slope(positions: Sequence[float], values: Sequence[Censored]) -> Censored:
    """The least-squares slope: a sum of the values, weighted by position minus mean position."""
    if all(each.low == each.high for each in values):
        slope = statistics.linear_regression(positions, [each.low for each in values]).slope
        return Censored(slope, slope)
    middle = statistics.fmean(positions)
    weights = [position - middle for position in positions]
    total = sum(weight**2 for weight in weights)
    pairs = [(w / total, each) for w, each in zip(weights, values, strict=True) if w]
    return Censored(
        sum(w * (each.low if w > 0 else each.high) for w, each in pairs),
        sum(w * (each.high if w > 0 else each.low) for w, each in pairs),
    )


def _log(value: float) -> float:
    return math.log(value) if math.isfinite(value) else value
