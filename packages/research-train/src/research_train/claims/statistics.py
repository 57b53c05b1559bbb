"""The statistics behind verdicts: intervals of a mean, outlying seeds, orderings.

Every rule is of a textbook or a paper, named where it stands; benchmarks/verdicts.py simulates all
of them, and its tables stand in the package's README. Numbers go in, numbers come out: what they
mean for a claim is claim.py's.

Figures' bands and papers' tables take Student's own interval (research_viz.t_interval); a verdict
needs one that holds for skewed seeds as well, hence another here.

A level is said per side: an error of at most 2.5 % that the mean lies above the interval, and the
same below it, which together is the usual 95 %.
"""

import math
import statistics
from collections.abc import Sequence

PER_SIDE = 0.025
FEW = 8  # seeds; so many and fewer say nothing of their skewness
ENOUGH = 20  # seeds for Hall's transformation at its nominal level
FEWEST_FOR_WORDS = 5  # of three or four numbers nothing can be said about their distribution
APART = 0.01  # Grubbs' level: how often five normal seeds are said to have one apart
TINY = 1e-300  # what is smaller has lost its digits, and its square is 0
SAME = 1e-12  # relative: far above what sums of floats are off by, far below what anyone publishes


def mean_interval(values: Sequence[float], per_side: float = PER_SIDE) -> tuple[float, float]:
    """An interval for the mean of what the values are drawn from, both ends.

    values: (seeds,), two or more. per_side: how often it may miss on each side.
    See `standard_ends` for the rule; the ends are one number where all values are.
    """
    count, mean = len(values), statistics.fmean(values)
    if is_constant(values):
        return mean, mean
    error = statistics.stdev(values) / math.sqrt(count)
    left, right = standard_ends(count, skewness(values), per_side)
    return mean - left * error, mean + right * error


def standard_ends(count: int, skew: float, per_side: float = PER_SIDE) -> tuple[float, float]:
    """How many standard errors s / sqrt(n) the interval reaches below and above the mean.

    count: of seeds, n, two or more; skew: their `skewness`. With t Student's quantile (1908):

    two seeds       t: nothing is known but their distance
    three to eight  2 t. Student's own interval holds a lognormal mean in 82 to 84 of 100 cases, the
                    double one in 93 to 95, and no correction by the skewness of so few numbers
                    holds it as often without being longer for normal ones
    from nine on    t, or further on the side of the longer tail, where Hall's transformation says
                    so (P. Hall, "On the removal of skewness by transformation", J. R. Statist. Soc.
                    B 54, 1992; with Student's quantile as in R. Willink, Commun. Statist. Theory
                    Methods 34, 2005), at a level of per_side n / 20 below twenty seeds

    The factor 2 and the level are found by simulation (benchmarks/verdicts.py): they are what keeps
    the coverage of four distributions of seeds at 0.93, wherever an interval can.
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

    values: (seeds,), two or more. It is at most a level exactly where the interval with that level
    per side lies above bound.
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
    """G1, the sample skewness as SciPy's `skew(bias=False)`; 0 of two numbers or of equal ones.

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

    values: (seeds,), at least five, else "". One apart: Grubbs' test at 1 % (F. E. Grubbs,
    "Procedures for detecting outlying observations in samples", Technometrics 11, 1969). Skewed: a
    skewness of more than two of its standard errors under normality.
    """
    count = len(values)
    if count < FEWEST_FOR_WORDS or is_constant(values):
        return ""
    mean, deviation = statistics.fmean(values), statistics.stdev(values)
    if max(abs(value - mean) for value in values) / deviation > grubbs_limit(count):
        return "one seed apart"
    return "skewed" if abs(skewness(values)) > 2 * skewness_error(count) else ""


def grubbs_limit(count: int, level: float = APART) -> float:
    """How many standard deviations the furthest of normal numbers lies off, but for level of cases.

    (n - 1) / sqrt(n) sqrt(t^2 / (n - 2 + t^2)) with Student's t(level / 2 n, n - 2): Grubbs' test,
    two-sided (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.1).
    """
    squared = _t_quantile(count - 1, level / (2 * count)) ** 2
    return (count - 1) / math.sqrt(count) * math.sqrt(squared / (count - 2 + squared))


def skewness_error(count: int) -> float:
    """The standard deviation of `skewness` over normal samples (Joanes and Gill 1998)."""
    return math.sqrt(6 * count * (count - 1) / ((count - 2) * (count + 1) * (count + 3)))


def holm_levels(p_values: Sequence[float], level: float) -> list[float]:
    """The level at which each hypothesis is tested when all are, so that none is wrongly rejected.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6, 1979:
    the smallest p-value against level / m, the next one against level / (m - 1), until one is
    larger than its own; those after it are tested at that one's. A p-value at most its level
    rejects.
    """
    levels = [0.0] * len(p_values)
    left, stopped = len(p_values), False
    for index in sorted(range(len(p_values)), key=lambda index: p_values[index]):
        levels[index] = level / left
        stopped = stopped or p_values[index] > levels[index]
        left -= not stopped
    return levels


def is_constant(values: Sequence[float]) -> bool:
    """Whether they are one number, but for the last bits."""
    return max(values) - min(values) <= max(SAME * max(map(abs, values)), TINY)


def _hall(distance: float, skew: float, count: int) -> float:
    """Hall 1992: t + g t^2 / 3 + g^2 t^3 / 27 + g / 6, g = skewness / sqrt(n); it only rises."""
    g = skew / math.sqrt(count)
    return distance + g * distance**2 / 3 + g**2 * distance**3 / 27 + g / 6


def _hall_inverse(transformed: float, skew: float, count: int) -> float:
    g = skew / math.sqrt(count)
    if abs(g) < 1e-6:  # the formula's own limit, where it would divide by nothing
        return transformed
    return 3 / g * (math.cbrt(1 + g * (transformed - g / 6)) - 1)


def _t_quantile(count: int, tail: float) -> float:
    from scipy.special import stdtrit  # slow to import, and only needed here

    return -float(stdtrit(count - 1, tail))


def _t_tail(count: int, distance: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(count - 1, -distance))
