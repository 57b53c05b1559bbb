"""Methods side by side: dots, intervals, seeds and their numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_viz import comparison, t_interval


def drawn(figure):
    return [
        (np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist())
        for line in figure.axes[0].get_lines()
    ]


def test_each_method_is_a_row_with_its_interval_and_seeds(written):
    seeds = [1.0, 2.0, 4.0]
    figure = comparison({"adam": seeds, "sgd": 3.0}, "accuracy")
    mean, half = t_interval(seeds)
    points = drawn(figure)
    assert ([mean - half, mean + half], [0, 0]) in points
    assert ([mean], [0]) in points
    assert any(x == seeds for x, _ in points)
    assert ([3.0], [1]) in points
    bottom, top = figure.axes[0].get_ylim()
    assert bottom > top
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["adam", "sgd"]
    assert {"2.3 ± 3.8", "3", "accuracy"} <= set(written(figure))


def test_intervals_that_are_given_are_drawn_instead(written):
    figure = comparison({"adam": 93.0, "sgd": [1, 2]}, "accuracy", {"adam": 0.5, "sgd": 2})
    assert ([92.5, 93.5], [0, 0]) in drawn(figure)
    assert ([-0.5, 3.5], [1, 1]) in drawn(figure)
    assert "93.00 ± 0.50" in written(figure)


def test_long_names_stay_on_the_canvas(inside):
    name = "stochastic gradient descent with momentum, " * 4
    inside(comparison({f"{i} {name}": [1e-9, 2e9] for i in range(9)}, name, title=name))


@pytest.mark.parametrize(
    ("methods", "intervals", "message"),
    [
        ({}, None, "no method"),
        ({"a": []}, None, r"method 'a'.*\(0,\)"),
        ({"a": [[1]]}, None, r"method 'a'.*\(1, 1\)"),
        ({"a": [1, np.nan]}, None, "method 'a': nan .*1"),
        ({"a": 1}, {"b": 1}, "intervals: 'b'.* a$"),
        ({"a": 1}, {"a": -1}, "interval of 'a': .*-1"),
    ],
)
def test_values_that_cannot_be_drawn_are_refused(methods, intervals, message):
    with pytest.raises(ValueError, match=message):
        comparison(methods, "accuracy", intervals)


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=80), st.lists(st.floats(), max_size=4), max_size=4))
def test_any_names_and_numbers_are_drawn_or_refused(methods):
    try:
        figure = comparison(methods, "x")
    except ValueError as error:
        assert "method" in str(error)
    else:
        figure.draw_without_rendering()
        assert max(figure.get_size_inches()) < 20
