"""The 95 % t-interval, against SciPy's."""

import math

import pytest
import scipy  # imports scipy.stats, which takes a second, when that is first used
from research_viz import t_interval


@pytest.mark.parametrize("seeds", [2, 3, 5, 9, 10, 11, 12, 30, 1000])
def test_the_interval_is_that_of_students_t(seeds):
    values = [math.sin(seed) for seed in range(seeds)]
    mean, half = t_interval(values)
    stats = scipy.stats
    low, high = stats.t.interval(0.95, seeds - 1, stats.tmean(values), stats.sem(values))
    assert mean - half == pytest.approx(low, rel=1e-5)
    assert mean + half == pytest.approx(high, rel=1e-5)


def test_one_seed_has_no_interval():
    assert t_interval([3]) == (3, None)


@pytest.mark.parametrize(
    ("values", "message"),
    [([], r"\(0,\)"), ([[1, 2]], r"\(1, 2\)"), (3, r"\(\)"), ([1, math.nan], "nan at position 1")],
)
def test_values_without_an_interval_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        t_interval(values)
