"""Learning curves: lines, bands, what is said about them, and what can't be drawn."""

import matplotlib.colors
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.collections import PolyCollection
from research_viz import learning_curves, t_interval


def lines(figure):
    return figure.axes[0].get_lines()


def bands(figure):
    return [each for each in figure.axes[0].collections if isinstance(each, PolyCollection)]


def edges(band, step):
    heights = [y for x, y in band.get_paths()[0].vertices if x == step]
    return min(heights), max(heights)


def test_each_curve_is_a_line_that_can_be_told_apart_without_colour():
    figure = learning_curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}, "loss")
    assert [line.get_ydata().tolist() for line in lines(figure)] == [[3, 4], [5, 6]]
    assert len({line.get_linestyle() for line in lines(figure)}) == 2
    assert len({line.get_marker() for line in lines(figure)}) == 2
    assert not bands(figure)


def test_seeds_become_their_mean_with_the_t_interval_as_band(written):
    seeds = np.array([[1.0, 4.0], [2.0, 5.0], [6.0, 7.5]])
    figure = learning_curves({"cnn": ([10, 20], seeds)}, "loss")
    np.testing.assert_allclose(lines(figure)[0].get_ydata(), seeds.mean(axis=0))
    (band,) = bands(figure)
    for index, step in enumerate((10, 20)):
        mean, half = t_interval(seeds[:, index])
        np.testing.assert_allclose(edges(band, step), (mean - half, mean + half))
    assert any("95 %" in text and "3 seeds" in text for text in written(figure))
    assert matplotlib.colors.same_color(band.get_facecolor()[0][:3], lines(figure)[0].get_color())


def test_the_band_can_be_the_range(written):
    figure = learning_curves({"cnn": ([1, 2], [[1, 4], [3, 5]])}, "loss", band="range")
    assert edges(bands(figure)[0], 1) == (1, 3)
    assert any("lowest" in text and "2 seeds" in text for text in written(figure))


def test_one_seed_has_no_band():
    figure = learning_curves({"cnn": ([1, 2], [[1, 4]])}, "loss")
    assert not bands(figure)
    assert lines(figure)[0].get_ydata().tolist() == [1, 4]


def test_the_legend_is_in_the_order_of_the_ends():
    figure = learning_curves({"low": ([1, 2], [9, 1]), "high": ([1, 2], [0, 5])}, "accuracy")
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["high", "low"]


def test_a_seed_that_diverged_leaves_a_gap_in_the_mean_and_is_not_averaged_away():
    figure = learning_curves({"a": ([1, 2, 3], [[1, 2, 3], [1, np.nan, 5]])}, "loss")
    np.testing.assert_array_equal(lines(figure)[0].get_ydata(), [1, np.nan, 4])


def test_a_run_that_is_nan_throughout_does_not_stop_the_others(written):
    figure = learning_curves({"a": ([1, 2], [1, 2]), "b": ([1, 2], [np.nan] * 2)}, "loss")
    assert "b (no finite value)" in written(figure)


def test_points_alone_bear_a_marker():
    figure = learning_curves({"a": ([5], [1]), "b": (range(9), [1, np.nan, 2] + [3] * 6)}, "loss")
    alone, gapped = lines(figure)
    assert alone.get_markevery() == [0]
    assert {0}.issubset(gapped.get_markevery())


def test_a_logarithmic_axis_bears_a_band_that_reaches_below_zero(inside):
    figure = learning_curves({"a": ([1, 2], [[1, 9], [5, 1]])}, "loss", logarithmic=True)
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_ylim()[0] > 0
    inside(figure)


@pytest.mark.parametrize(
    ("curves", "options", "message"),
    [
        ({}, {}, "no curve"),
        ({"a": ([1, 2], [1])}, {}, r"curve 'a'.*\(2,\).*\(1,\)"),
        ({"a": ([1, 2], [[[1, 2]]])}, {}, r"curve 'a'.*\(1, 1, 2\)"),
        ({"a": ([], [])}, {}, "'a' .*no values"),
        ({"a": ([1], ["x"])}, {}, "'a', values: .*numbers"),
        ({"a": ([1, 2], [[1, 2], [1]])}, {}, "'a', values: .*numbers"),
        ({"a": ([np.nan], [1])}, {}, "'a', steps: nan .*0"),
        ({"a": ([1], [1e200])}, {}, "1e\\+200 is too large"),
        ({"a": ([1], [np.nan]), "b": ([1], [np.inf])}, {}, "finite .*a, b"),
        ({"a": ([7], [0])}, {"logarithmic": True}, "'a', values: 0 .*7.* log"),
        ({"a": ([1], [1])}, {"band": "sd"}, "band: 'sd'.*'interval', 'range'"),
    ],
)
def test_curves_that_cannot_be_drawn_are_refused_with_the_reason(curves, options, message):
    with pytest.raises(ValueError, match=message):
        learning_curves(curves, "loss", **options)


LONG = "a name of a run that tells its whole config: " + "learning_rate=0.001," * 6


def test_long_names_stay_on_the_canvas(inside, written):
    curves = {f"{index} {LONG}": ([1, 2], [index, 2]) for index in range(14)}
    figure = learning_curves(curves, LONG, LONG, LONG)
    inside(figure)
    assert sum("whole config" in text for text in written(figure)) == 17


def test_dollars_and_unprintable_characters_are_drawn(inside, written):
    figure = learning_curves({"$5 or $6_{": ([1], [1]), "a\n\x00b": ([1], [2])}, r"$R^2$", "$\\no$")
    inside(figure)
    assert r"$R^2$" in written(figure)
    assert r"\$5 or \$6_{" in written(figure)
    assert "a b" in written(figure)


@settings(max_examples=40)
@given(
    values=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=4),
        elements=st.floats(),
    ),
    logarithmic=st.booleans(),
    band=st.sampled_from(["interval", "range"]),
)
def test_any_numbers_are_drawn_or_refused(values, logarithmic, band):
    steps = np.arange(values.shape[-1])
    try:
        figure = learning_curves({"a": (steps, values)}, "y", logarithmic=logarithmic, band=band)
    except ValueError as error:
        assert str(error)
        assert "a" in str(error)
    else:
        figure.draw_without_rendering()
        assert np.isfinite(figure.get_size_inches()).all()
        assert max(figure.get_size_inches()) < 20


@pytest.mark.parametrize(
    "values", [np.array([1, 2j]), ["1", "2"], [10**400, 1], np.array(["2020", "2021"], "M8[Y]")]
)
def test_values_that_are_not_numbers_are_refused(values):
    with pytest.raises(ValueError, match="array of numbers"):
        learning_curves({"a": ([1, 2], values)}, "loss")


def test_masked_values_are_a_gap():
    values = np.ma.array([3.0, 1e9, 4.0], mask=[False, True, False])
    figure = learning_curves({"a": ([1, 2, 3], values)}, "loss")
    assert np.isnan(lines(figure)[0].get_ydata()).tolist() == [False, True, False]
