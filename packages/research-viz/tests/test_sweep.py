"""Sweeps: cells in order, values written, what was not run and what diverged told apart."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_viz import sweep_heatmap

SWEEP = {(0.1, 32): 0.5, (0.01, 32): 0.25, (0.1, 8): 0.125, (0.01, 8): None}


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def cells(figure):
    return {
        (text.get_position()[1], text.get_position()[0]): text.get_text()
        for text in figure.axes[0].texts
    }


def hatched(figure):
    return {
        (patch.get_y() + 0.5, patch.get_x() + 0.5)
        for patch in figure.axes[0].patches
        if patch.get_hatch()
    }


def test_axes_are_sorted_and_every_value_is_written_in_its_cell():
    figure = sweep_heatmap(SWEEP, "rate", "width", "accuracy")
    axes = figure.axes[0]
    assert (ticks(axes.yaxis), ticks(axes.xaxis)) == (["0.01", "0.1"], ["8", "32"])
    assert cells(figure) == {(0, 1): "0.25", (1, 0): "0.125", (1, 1): "0.5"}
    assert np.ma.filled(axes.images[0].get_array(), -1).tolist() == [[-1, 0.25], [0.125, 0.5]]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("rate", "width")
    assert figure.axes[1].get_ylabel() == "accuracy"


def test_not_run_is_hatched_and_empty_and_diverged_says_so():
    figure = sweep_heatmap({**SWEEP, (1.0, 32): math.nan, (1.0, 8): math.inf}, "r", "w", "acc")
    assert hatched(figure) == {(0, 0), (2, 0), (2, 1)}
    assert (0, 0) not in cells(figure)
    assert (cells(figure)[2, 0], cells(figure)[2, 1]) == ("inf", "nan")


def test_names_stay_in_their_order():
    figure = sweep_heatmap({("sgd", "b"): 1, ("adam", "a"): 2}, "optimizer", "x", "acc")
    assert ticks(figure.axes[0].yaxis) == ["sgd", "adam"]


@pytest.mark.parametrize(("best", "place"), [("highest", (1, 1)), ("lowest", (1, 0))])
def test_the_best_cell_is_framed(best, place):
    figure = sweep_heatmap(SWEEP, "rate", "width", "accuracy", best=best)
    (frame,) = (patch for patch in figure.axes[0].patches if not patch.get_hatch())
    assert (frame.get_y() + 0.5, frame.get_x() + 0.5) == place


def test_long_names_stay_on_the_canvas(inside):
    name = "the fraction of weights that are set to zero " * 3
    inside(sweep_heatmap({(name, name): 1.0, ("b", "c"): 2e9}, name, name, name, title=name))


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({}, {}, "0 combinations"),
        ({(1, 2): None}, {}, "1 combinations"),
        ({(1, 2): "x"}, {}, r"\(1, 2\): .*numbers"),
        ({(1, 2): 1e300}, {}, r"\(1, 2\): 1e\+300 .*large"),
        ({(math.nan, 2): 1}, {}, "a coordinate: nan"),
        ({(1, 2): 1}, {"best": "max"}, "best: 'max'"),
        ({(1, 2): 1}, {"digits": 0}, "digits: 0.*1 to 15"),
        ({(1, i): 1 for i in range(41)}, {}, "1 by 41 .*40"),
    ],
)
def test_sweeps_that_cannot_be_drawn_are_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        sweep_heatmap(values, "y", "x", "v", **options)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 3), st.sampled_from("abc")), st.none() | st.floats(), max_size=8
    ),
    st.sampled_from([None, "highest", "lowest"]),
)
def test_any_numbers_are_drawn_or_refused(values, best):
    try:
        figure = sweep_heatmap(values, "y", "x", "v", best=best)
    except ValueError as error:
        assert "value" in str(error)
    else:
        figure.draw_without_rendering()
        assert max(figure.get_size_inches()) < 20
