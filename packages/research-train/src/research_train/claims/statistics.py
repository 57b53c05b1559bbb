"""The statistics behind verdicts: intervals of a mean, outlying seeds, orderings.

Every rule comes from a textbook or a paper, which its docstring names. benchmarks/verdicts.py
simulates all of them; its tables are in the package's README. These functions only compute numbers;
claim.py decides what they mean for a claim.

The bands of figures and the tables of papers use Student's own interval (research_viz.t_interval).
A verdict needs an interval that holds for skewed seeds as well, so it uses the one here.

Levels are per side: the mean lies above the interval with a probability of at most 2.5 %, and below
it with the same, which together is the usual 95 %.
"""

import math
import statistics
from collections.abc import Sequence

PER_SIDE = 0.025
FEW = 8  # seeds; with these or fewer, the skewness can't be estimated
ENOUGH = 20  # seeds for Hall's transformation at its nominal level
FEWEST_FOR_WORDS = 5  # three or four numbers tell nothing about their distribution
APART = 0.01  # Grubbs' level: how often a normal sample is said to have one seed apart
TINY = 1e-300  # smaller numbers have lost digits, and their square is 0
SAME = 1e-12  # relative: far above the rounding error of sums, far below any published difference


def mean_interval(values: Sequence[float], per_side: float = PER_SIDE) -> tuple[float, float]:
    """Both ends of an interval for the mean of the distribution that the values are drawn from.

    values: (seeds,), two or more. per_side: how often it may miss on each side.
    `standard_ends` has the rule. If all values are equal, both ends are that number.
    """
    count, mean = len(values), statistics.fmean(values)
    if is_constant(values):
        return mean, mean
    error = statistics.stdev(values) / math.sqrt(count)
    left, right = standard_ends(count, skewness(values), per_side)
    return mean - left * error, mean + right * error


def standard_ends(count: int, skew: float, per_side: float = PER_SIDE) -> tuple[float, float]:
    """How many standard errors s / sqrt(n) the interval reaches below and above the mean.

    count: number of seeds n, two or more; skew: their `skewness`. t is Student's quantile (1908):

    two seeds       t: nothing but their distance is known
    three to eight  2 t. Student's own interval holds a lognormal mean in 82 to 84 of 100 cases, the
                    double one in 93 to 95, and no correction by the skewness of so few numbers
                    holds it as often without being longer for normal ones
    nine or more    t, or longer on the side of the longer tail, as Hall's transformation gives it
                    (P. Hall, "On the removal of skewness by transformation", J. R. Statist. Soc.
                    B 54, 1992; with Student's quantile as in R. Willink, Commun. Statist. Theory
                    Methods 34, 2005), at a level of per_side n / 20 below twenty seeds

    The factor 2 and the level were found by simulation (benchmarks/verdicts.py): with them the
    coverage for four distributions of seeds stays at 0.93 or above, wherever any interval can.
    """
    quantile = _t_quantile(count, per_side)
    if count <= FEW:
        factor = 2.0 if count > 2 else 1.0
        return factor * quantile, factor * quantile
    wide = _t_quantile(count, per_side * min(1.0, count / ENOUGH))
    # By symmetry the far end of numbers is the near end of their negatives.
    left, right = _hall_inverse(wide, skew, count), -_hall_inverse(-wide, skew, count)
    return max(quantile, left), max(quantile, right)


def p_above(values: Sequence[float], bound: float = 0.0) -> float:
    """The one-sided p-value of "the mean is at most bound": the test that `mean_interval` inverts.

    values: (seeds,), two or more. The p-value is at most a level exactly when the interval with
    that level per side lies above bound.
    """
    count, mean = len(values), statistics.fmean(values)
    error = 0.0 if is_constant(values) else statistics.stdev(values) / math.sqrt(count)
    if not error:
        return 0.0 if mean > bound else 1.0
    distance = (mean - bound) / error
    if count <= FEW:
        return _t_tail(count, distance / (2.0 if count > 2 else 1.0))
    transformed = _t_tail(count, _hall(distance, skewness(values), count))
    return max(_t_tail(count, distance), transformed / min(1.0, count / ENOUGH))


def skewness(values: Sequence[float]) -> float:
    """G1, the sample skewness as SciPy's `skew(bias=False)`; 0 for two numbers or equal ones.

    D. N. Joanes and C. A. Gill, "Comparing measures of sample skewness and kurtosis", The
    Statistician 47, 1998.
    """
    count = len(values)
    if count < 3 or is_constant(values):
        return 0.0
    mean = statistics.fmean(values)
    largest = max(abs(value - mean) for value in values)
    scaled = [(value - mean) / largest for value in values]  # so that no cube overflows
    second = statistics.fmean([each**2 for each in scaled])
    third = statistics.fmean([each**3 for each in scaled])
    return third / second**1.5 * math.sqrt(count * (count - 1)) / (count - 2)


def oddity(values: Sequence[float]) -> str:
    """`one seed apart`, `skewed`, or "" for seeds that an interval can speak for.

    values: (seeds,); "" for fewer than five. One apart: by Grubbs' test at 1 % (F. E. Grubbs,
    "Procedures for detecting outlying observations in samples", Technometrics 11, 1969). Skewed:
    the skewness is more than two of its standard errors under normality.
    """
    count = len(values)
    if count < FEWEST_FOR_WORDS or is_constant(values):
        return ""
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    if max(abs(value - mean) for value in values) / deviation > grubbs_limit(count):
        return "one seed apart"
    return "skewed" if abs(skewness(values)) > 2 * skewness_error(count) else ""


def grubbs_limit(count: int, level: float = APART) -> float:
    """The distance in standard deviations that the furthest of n normal numbers rarely exceeds.

    level: how often it does. The limit of Grubbs' two-sided test: (n - 1) / sqrt(n) times
    sqrt(t^2 / (n - 2 + t^2)) with Student's t(level / 2 n, n - 2) (NIST/SEMATECH e-Handbook of
    Statistical Methods, 1.3.5.17.1).
    """
    squared = _t_quantile(count - 1, level / (2 * count)) ** 2
    return (count - 1) / math.sqrt(count) * math.sqrt(squared / (count - 2 + squared))


def skewness_error(count: int) -> float:
    """The standard deviation of `skewness` over normal samples (Joanes and Gill 1998)."""
    return math.sqrt(6 * count * (count - 1) / ((count - 2) * (count + 1) * (count + 3)))


def holm_levels(p_values: Sequence[float], level: float) -> list[float]:
    """A level for each of m hypotheses: the chance of any wrong rejection is at most `level`.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979:
    the smallest p-value is tested at level / m, the next one at level / (m - 1), and so on until a
    p-value is larger than its level; all further ones are tested at that same level. A hypothesis
    is rejected if its p-value is at most its level.
    """
    levels = [0.0] * len(p_values)
    left, stopped = len(p_values), False
    for index in sorted(range(len(p_values)), key=lambda index: p_values[index]):
        levels[index] = level / left
        stopped = stopped or p_values[index] > levels[index]
        left -= not stopped
    return levels


def is_constant(values: Sequence[float]) -> bool:
    """Whether all values are equal up to rounding."""
    return max(values) - min(values) <= max(SAME * max(map(abs, values)), TINY)


def _hall(distance: float, skew: float, count: int) -> float:
    """Hall 1992: t + g t^2 / 3 + g^2 t^3 / 27 + g / 6, g = skewness / sqrt(n); increasing in t."""
    g = skew / math.sqrt(count)
    return distance + g * distance**2 / 3 + g**2 * distance**3 / 27 + g / 6


def _hall_inverse(transformed: float, skew: float, count: int) -> float:
    g = skew / math.sqrt(count)
    if abs(g) < 1e-6:  # the limit of the formula for g -> 0, where it would divide by 0
        return transformed
    return 3 / g * (math.cbrt(1 + g * (transformed - g / 6)) - 1)


def _t_quantile(count: int, tail: float) -> float:
    from scipy.special import stdtrit  # slow to import, and only needed here

    return -float(stdtrit(count - 1, tail))


def _t_tail(count: int, distance: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(count - 1, -distance))
