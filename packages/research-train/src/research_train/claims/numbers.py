"""Compute a claim's number for one seed from the final metrics of its runs.

Each kind makes one number of a seed's runs, one run a group of `overrides`:

| kind | the number of a seed |
|---|---|
| value, bound | the metric of the one group |
| ratio | the metric of the first group over that of the second |
| ordering | each step from a group's metric to the next one's: in order where all are above 0 |
| feature | the position (a group's name, a number) where the metric is largest or smallest |
| fit | the slope of the metric over the positions, where `logarithmic` of both logarithms |

The metric may be a quotient or a difference of two metrics of one run.

**Censored numbers.** A metric that a run never reached is known to be at least `censored_at`, so a
seed's number is known to lie between two ends, one of them perhaps infinite. The interval's lower
end is that of the lower ends: of the mean of min(X, c), which is at most that of X (the restricted
mean of J. O. Irwin, J. Hygiene 47, 1949), and the upper end that of the upper ends. By kind:

| kind | where a run never reached its metric |
|---|---|
| value | its mean is at least so much: decided where that is past the tolerance, else undecided |
| bound | `at_least`, `above` hold where the lower ends do; `at_most`, `below` are never shown to |
| ratio, quotient | at least so much where it is divided, at most where it divides; both: unknown |
| ordering, difference | at least so much where it comes later, at most where it is subtracted |
| feature | the positions that could be it: known where one run alone lies beyond all others |
| fit | a bound of the slope where the unreached ones all pull it to one side |
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
    """A number that is only known to lie from low to high; either may be infinite."""

    low: float = -math.inf
    high: float = math.inf


Number = float | Censored
SeedValue = Number | Sequence[Number]  # of an ordering every step, of other kinds one number


def metric_of_run(
    claim: Claim, metrics: Mapping[str, float | None], steps: float | None = None
) -> Number:
    """The claim's metric of one run, censored where the run never reached it.

    metrics: the final ones, None for what was no number. steps: how far the run came, for
    `censored_at: steps`. Raises ClaimsError: no such metric, no number, a division by zero.
    """
    found = []
    for name in claim.metrics:
        value = metrics[name]
        if value is None or not math.isfinite(value):
            limit = steps if claim.censored_at == "steps" else claim.censored_at
            if limit is None:
                raise ClaimsError(
                    f"its {name} was no finite number (where that means a run never reached it, "
                    "the claim may say `censored_at: steps`, or a number)"
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
    """The number of one seed, of an ordering its steps. metrics: group -> the claim's in its run.

    NaN where there is none: a division by zero, a logarithm of what has none.
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
    """The finite ends: of all of them the lower ones where those are, else the upper ones."""
    lows, highs = [ends_of(each).low for each in numbers], [ends_of(each).high for each in numbers]
    if all(map(math.isfinite, lows)):
        return lows
    if all(map(math.isfinite, highs)):
        return highs
    return [each for each in numbers if not isinstance(each, Censored)]


def steps_of(value: SeedValue) -> Sequence[Number]:
    """The numbers of one seed: the steps of an ordering, else the one there is."""
    return value if isinstance(value, Sequence) else [value]


def ends_of(number: Number) -> Censored:
    """Between which ends a number lies: of a known one both are it."""
    return number if isinstance(number, Censored) else Censored(number, number)


def _number(ends: Censored) -> Number:
    return ends.low if ends.low == ends.high else ends


def any_censored(numbers: Sequence[Number]) -> bool:
    """Whether one of them is not known exactly."""
    return any(isinstance(each, Censored) for each in numbers)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(value))


def _difference(one: Censored, other: Censored) -> Censored:
    """one - other, in decimals: 0.3 - 0.1 is 0.2."""
    return Censored(_minus(one.low, other.high), _minus(one.high, other.low))


def _minus(one: float, other: float) -> float:
    if not (math.isfinite(one) and math.isfinite(other)):
        return one - other
    return float(_decimal(float(one)) - _decimal(float(other)))


def _quotient(one: Censored, other: Censored) -> Censored:
    """one / other; nothing is known where the divisor may be 0."""
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
    """The positions that could be where the values are largest (smallest): from which to which."""
    if at == "smallest":
        values = [Censored(-each.high, -each.low) for each in values]
    least = max(each.low for each in values)
    if all(each.low == each.high for each in values):  # of equal ones the first, as it was read
        first = next(i for i, each in enumerate(values) if each.low == least)
        return Censored(positions[first], positions[first])
    could = [p for p, each in zip(positions, values, strict=True) if each.high >= least]
    return Censored(min(could), max(could))


def _slope(positions: Sequence[float], values: Sequence[Censored]) -> Censored:
    """Of least squares: a sum of the values, each with a weight of the sign of its position's."""
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
