"""The statistics of verdicts: against SciPy, and how often each is right."""

import math
import statistics

import numpy as np
import pytest
import scipy  # imports scipy.stats, which takes a second, when that is first used
from hypothesis import given
from hypothesis import strategies as st
from research_train.claims.statistics import (
    grubbs_limit,
    holm_levels,
    mean_interval,
    oddity,
    p_above,
    skewness,
    skewness_error,
)

NUMBERS = st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 6)), min_size=2, max_size=30)


@given(NUMBERS)
def test_the_interval_is_twice_scipys_of_few_and_holds_it_of_many(values):
    count, spread = len(values), statistics.stdev(values) / math.sqrt(len(values))
    low, high = mean_interval(values)
    mean = np.mean(values)
    if low == high:
        assert spread <= 1e-12 * max(map(abs, values))
        return
    expected = scipy.stats.t.interval(0.95, count - 1, mean, spread)
    scale = 1e-9 * (abs(mean) + spread)
    if count > 8:
        assert low <= expected[0] + scale and expected[1] - scale <= high
    else:
        factor = 1 if count == 2 else 2
        assert (low, high) == pytest.approx(
            [mean + factor * (end - mean) for end in expected], rel=1e-9, abs=scale
        )
    if count > 4:  # without skewness it is his from twenty numbers on
        even = [*values, *(-value for value in values)] * 2
        spread = statistics.stdev(even) / math.sqrt(len(even))
        expected = scipy.stats.t.interval(0.95, len(even) - 1, 0, spread)
        assert mean_interval(even) == pytest.approx(expected, rel=1e-6)


@given(NUMBERS, st.floats(0.001, 0.1), st.floats(-2, 2))
def test_the_p_value_and_the_interval_say_the_same(values, per_side, place):
    bound = statistics.fmean(values) + place * statistics.stdev(values)
    p, (low, _) = p_above(values, bound), mean_interval(values, per_side)
    near = math.isclose(p, per_side, rel_tol=1e-6) or math.isclose(low, bound, abs_tol=1e-6)
    assert near or (p <= per_side) == (low >= bound)


@given(NUMBERS)
def test_what_the_mirror_image_gives_is_the_mirror_image(values):
    low, high = mean_interval(values)
    assert mean_interval([-value for value in values]) == pytest.approx((-high, -low), rel=1e-9)


def test_skewness_and_its_error_are_those_of_scipy():
    generator = np.random.default_rng(0)
    for count in (3, 5, 20):
        values = generator.exponential(size=count)
        assert skewness(values.tolist()) == pytest.approx(scipy.stats.skew(values, bias=False))
        many = scipy.stats.skew(generator.normal(size=(20_000, count)), axis=1, bias=False)
        assert skewness_error(count) == pytest.approx(many.std(), rel=0.03)
    assert skewness([1.0, 2.0]) == skewness([1.0, 1.0, 1.0]) == 0


def test_grubbs_limits_are_the_table_and_right():
    # Of F. E. Grubbs and G. Beck, Technometrics 14, 1972, whose one-sided 0.5 % is two-sided 1 %.
    assert grubbs_limit(10, 0.05) == pytest.approx(2.290, abs=0.001)
    assert grubbs_limit(5, 0.05) == pytest.approx(1.715, abs=0.001)
    assert grubbs_limit(20, 0.01) == pytest.approx(3.001, abs=0.001)
    values = np.random.default_rng(1).normal(size=(4000, 6))
    said = sum(oddity(row.tolist()) == "one seed apart" for row in values)
    assert said / 4000 == pytest.approx(0.01, abs=0.005)


def test_holm_is_that_of_its_paper():
    assert holm_levels([0.01, 0.03, 0.02], 0.06) == pytest.approx([0.02, 0.06, 0.03])
    assert holm_levels([0.05, 0.04, 0.001], 0.06) == pytest.approx([0.03, 0.03, 0.02])
    assert holm_levels([0.5], 0.05) == [0.05]


@pytest.mark.parametrize("seeds", [5, 10, 20])
@pytest.mark.parametrize("name", ["normal", "exponential", "lognormal"])
def test_the_interval_covers_the_mean_in_93_of_100(seeds, name):
    """benchmarks/verdicts.py has more draws and the fourth distribution."""
    mean = {"normal": 0.0, "exponential": 1.0, "lognormal": math.exp(0.5)}[name]
    generator = np.random.default_rng(2)
    draws = getattr(generator, name)(size=(4000, seeds)).tolist()
    covered = sum(low <= mean <= high for low, high in map(mean_interval, draws))
    assert covered / 4000 > 0.93 - 0.004  # a standard error of the simulation
