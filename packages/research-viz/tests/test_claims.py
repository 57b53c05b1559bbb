"""The claim plot: a row a claim, each in its own unit, the verdict in shape and word."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from research_viz import ClaimRow, claim_plot

ROW = ClaimRow("CNN", 94.0, 2.0, 93.0, 0.5, [92.5, 93.5], "reproduced", "%", known_gap=91.0)
VERDICTS = ["reproduced", "better", "not reproduced", "undecided", "known gap"]


def lines(axes):
    """x data of what is drawn in the claim's own unit."""
    return [
        np.asarray(line.get_xdata()).tolist()
        for line in axes.get_lines()
        if line.get_transform() == axes.transData
    ]


def test_a_row_shows_band_mean_interval_every_seed_and_the_gap(written, inside):
    figure = claim_plot([ROW], "Table 1")
    (axes,) = figure.axes
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == (92.0, 4.0)
    drawn = lines(axes)
    assert [94.0, 94.0] in drawn  # published
    assert [93.0] in drawn  # mean
    assert [92.5, 93.5] in drawn  # the interval, and the seeds
    assert drawn.count([92.5, 93.5]) == 2
    assert [91.0] in drawn
    texts = written(figure)
    for text in ("CNN", "94 ± 2 %", "93.00 ± 0.50 % 2 seeds", "reproduced", "Table 1"):
        assert text in texts
    inside(figure)


def test_every_row_has_its_own_unit_and_the_published_value_in_its_middle():
    small = ClaimRow("loss", 0.02, 0.001, 0.0205, None, [0.0205], "reproduced")
    figure = claim_plot([ROW, small])
    for axes, published in zip(figure.axes, (94.0, 0.02), strict=True):
        assert np.mean(axes.get_xlim()) == pytest.approx(published)
    positions = [axes.get_position() for axes in figure.axes]
    assert positions[0].y0 > positions[1].y0
    assert positions[0].x0 == pytest.approx(positions[1].x0)


def test_bands_are_equally_wide_unless_a_row_is_far_off():
    far = dataclasses.replace(ROW, mean=60.0, values=[59.0, 61.0])
    shares = [
        axes.patches[0].get_width() / np.ptp(axes.get_xlim())
        for axes in claim_plot([ROW, dataclasses.replace(ROW, published=93.5), far]).axes
    ]
    assert shares[0] == pytest.approx(shares[1])
    assert shares[2] < shares[0] / 3


def test_verdicts_differ_in_word_and_shape(written):
    figure = claim_plot([dataclasses.replace(ROW, verdict=verdict) for verdict in VERDICTS])
    shapes = {axes.get_lines()[-2].get_marker() for axes in figure.axes}
    assert len(shapes) == 5
    assert set(VERDICTS) <= set(written(figure))


def test_one_run_has_no_interval(written, inside):
    figure = claim_plot([ClaimRow("seconds", 3.0, 0.0, 3.0, None, [3.0], "reproduced")])
    assert "3" in written(figure)
    assert "mean" in written(figure)
    assert not any("interval" in text for text in written(figure))
    inside(figure)


@pytest.mark.parametrize("side", ["at_least", "above", "at_most", "below"])
def test_a_bound_is_grey_on_its_whole_side(side, written, inside):
    row = ClaimRow("delay", 5.0, 0.0, 7.0, (5.5, np.inf), [6.0, 8.0], "reproduced", side=side)
    figure = claim_plot([dataclasses.replace(row, note="2 of 5 not within 10,000 steps")])
    (axes,) = figure.axes
    (band,) = axes.patches
    low, high = axes.get_xlim()
    upwards = side in ("at_least", "above")
    expected = (5.0, high) if upwards else (low, 5.0)
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx(expected)
    assert [5.5, high] in lines(axes)  # to the edge, where an arrow says that it goes on
    assert ">" in {line.get_marker() for line in axes.get_lines()}
    texts = written(figure)
    for text in (f"{side.replace('_', ' ')} 5", "≥ 5.5 2 seeds"):
        assert text in texts
    assert "reproduced 2 of 5 not within 10,000 steps" in texts
    inside(figure)


def test_an_unbounded_interval_is_drawn_as_not_known(written, inside):
    figure = claim_plot([ClaimRow("x", 5.0, 1.0, None, (-np.inf, np.inf), [], "undecided")])
    assert "not known" in written(figure)
    inside(figure)


def test_an_interval_that_leaves_the_strip_ends_in_an_arrow():
    (axes,) = claim_plot([dataclasses.replace(ROW, interval=400.0)]).axes
    assert {"<", ">"} <= {line.get_marker() for line in axes.get_lines()}
    assert max(np.abs(np.array(axes.get_xlim()) - 94)) < 20


def test_twenty_rows_with_long_names_stay_on_the_canvas(inside, written):
    name = "the ratio of the test error with shuffled points to the one without " * 3
    row = dataclasses.replace(ROW, unit="percentage points of accuracy, balanced")
    rows = [dataclasses.replace(row, name=f"{index} {name[: 12 * index]}") for index in range(20)]
    figure = claim_plot(rows, name * 3)
    inside(figure)
    assert len(figure.axes) == 20
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert all(upper.y0 >= lower.y1 - 0.5 for upper, lower in itertools.pairwise(boxes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": np.nan}, "claim 'CNN', mean: nan"),
        ({"published": np.inf}, "claim 'CNN', published: inf"),
        ({"tolerance": -1.0}, "claim 'CNN', tolerance: .*-1"),
        ({"interval": -1.0}, "claim 'CNN', interval: .*-1"),
        ({"values": [1.0, np.nan]}, "claim 'CNN', values: nan .*1"),
        ({"values": 3.0}, r"claim 'CNN': .*\(seeds,\)"),
        ({"known_gap": np.nan}, "'CNN', known gap: nan"),
        ({"interval": (2.0, 1.0)}, "claim 'CNN', interval: .*2.* 1"),
        ({"side": "left"}, "claim 'CNN': .*'left'.*at_least, at_most"),
        ({"verdict": "fine"}, "claim 'CNN': .*'fine'.*reproduced, better"),
    ],
)
def test_a_claim_that_can_not_be_drawn_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(ROW, **change)
    with pytest.raises(ValueError, match="no claim"):
        claim_plot([])


@settings(max_examples=40)
@given(
    published=st.floats(-1e100, 1e100),
    tolerance=st.floats(0, 1e100),
    values=st.lists(st.floats(-1e100, 1e100), max_size=4),
    mean=st.floats(-1e100, 1e100),
    interval=st.none() | st.floats(0, 1e100),
)
def test_any_finite_claim_is_drawn(published, tolerance, values, mean, interval):
    row = ClaimRow("any", published, tolerance, mean, interval, values, "undecided")
    figure = claim_plot([row])
    figure.draw_without_rendering()
    assert max(figure.get_size_inches()) < 20
    low, high = figure.axes[0].get_xlim()
    assert low < high
    assert all(low <= value <= high for value in [mean, *values])
