"""Wholes as bars of their parts."""

import pytest
from research_viz import part_bars


def test_parts_follow_each_other_and_the_sum_is_written(written):
    figure = part_bars({"cpu": {"forward": 1.0, "update": 2.0}, "gpu": {"update": 0.5}}, "ms")
    bars = [(bar.get_x(), bar.get_width(), bar.get_y() > 0) for bar in figure.axes[0].patches]
    assert bars == [(0, 1, False), (0, 0, True), (1, 2, False), (0, 0.5, True)]
    assert {"cpu", "gpu", "forward", "update", "3", "0.5", "ms"} <= set(written(figure))


def test_long_names_stay_on_the_canvas(inside):
    name = "everything between two steps, checkpoints included " * 3
    inside(part_bars({f"{i} {name}": {name: 1e-9 * 10**i} for i in range(9)}, name, title=name))


@pytest.mark.parametrize(
    ("wholes", "message"),
    [
        ({}, "no whole"),
        ({"a": {"b": -1}}, "'b' of 'a'.*negative"),
        ({"a": {"b": float("nan")}}, "'b' of 'a'"),
    ],
)
def test_parts_that_cannot_be_drawn_are_refused(wholes, message):
    with pytest.raises(ValueError, match=message):
        part_bars(wholes, "ms")
