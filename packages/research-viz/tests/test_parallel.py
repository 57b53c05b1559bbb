"""Parallel coordinates: an axis a parameter, a line a setting, the best one framed."""

import pytest
from research_viz import parallel_coordinates

SETTINGS = [
    {"rate": 0.001, "model": "cnn", "width": 8},
    {"rate": 0.1, "model": "mlp", "width": 16},
    {"rate": 0.01, "model": "cnn", "width": 12},
]


def lines(figure):
    return [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]


def test_each_setting_is_a_line_over_the_axes_and_the_best_has_a_frame():
    figure = parallel_coordinates(SETTINGS, [0.5, None, 0.9], "accuracy", logarithmic=["rate"])
    axes, bar = figure.axes
    diverged, first, frame, best = lines(figure)
    assert best.get_ydata().tolist() == pytest.approx([0.5, 0.25, 0.5])
    assert frame.get_ydata().tolist() == best.get_ydata().tolist()
    assert frame.get_linewidth() > best.get_linewidth()
    assert first.get_ydata().tolist() == [0.0, 0.25, 0.0]
    assert diverged.get_ydata().tolist() == [1.0, 0.75, 1.0] and diverged.get_linestyle() == "--"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["rate", "model", "width"]
    assert {"0.001", "0.01", "0.1", "cnn", "mlp", "8", "16"} <= {t.get_text() for t in axes.texts}
    assert bar.get_ylabel() == "accuracy"
    lowest = parallel_coordinates(SETTINGS, [0.5, None, 0.9], "loss", best="lowest")
    assert lines(lowest)[-1].get_ydata()[2] == 0.0


@pytest.mark.parametrize(
    ("settings", "values", "options", "part"),
    [
        (SETTINGS, [1, 2], {}, "3 settings"),
        ([], [], {}, "0 settings"),
        ([{"a": 1}], [1], {}, "two or more"),
        ([{"a": 1, "b": 2}, {"a": 1, "c": 2}], [1, 2], {}, "same parameters"),
        (SETTINGS, [None, None, None], {}, "none of the 3 settings"),
        (SETTINGS, [1, 2, 3], {"best": "first"}, "'first'"),
        ([{"a": 0.0, "b": 2}], [1], {"logarithmic": ["a"]}, "a: 0 has no place"),
    ],
)
def test_what_cannot_be_drawn_is_said(settings, values, options, part):
    with pytest.raises(ValueError, match=part):
        parallel_coordinates(settings, values, "accuracy", **options)
