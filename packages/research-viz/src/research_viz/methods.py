"""Draw a comparison of methods."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from research_viz.canvas import (
    NAME_WIDTH,
    fit_canvas,
    label_axes,
    name_rows,
    new_figure,
    text_height,
    wrapped,
)
from research_viz.inputs import finite, half_width, not_empty
from research_viz.intervals import t_interval
from research_viz.style import COLOURS, FAINT, SMALL, house_style
from research_viz.tables import with_interval

WIDTH = 3.6  # inches
ROW_HEIGHT = 0.34
SEEDS_BELOW = 0.26  # rows below the interval, so that neither hides the other


@house_style()
def comparison(
    methods: Mapping[str, ArrayLike],
    xlabel: str,
    intervals: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Draw each method in a row: its mean as a dot, its interval as a line, its seeds as marks.

    methods: name -> one number, or an array (seeds,); drawn from top to bottom.
    intervals: name -> half-width; by default the 95 % t-interval of the mean over seeds, if there
    are two or more. The numbers are written at the right.
    """
    not_empty(methods, "method")
    given = intervals or {}
    for name in given:
        if name not in methods:
            raise ValueError(f"intervals: {name!r} is not one of the methods {', '.join(methods)}")
    names = [wrapped(name, NAME_WIDTH, SMALL) for name in methods]
    row = max(ROW_HEIGHT, max(text_height(name, SMALL) for name in names) + 0.08)
    figure, axes = new_figure(WIDTH, row * len(names))
    for index, (name, values) in enumerate(methods.items()):
        seeds = np.atleast_1d(finite(values, f"method {name!r}"))
        if seeds.ndim != 1 or not seeds.size:
            raise ValueError(
                f"method {name!r}: must be one number or have the shape (seeds,), got "
                f"{np.shape(values)}"
            )
        mean, half = t_interval(seeds)
        if name in given:
            half = half_width(given[name], f"interval of {name!r}")
        else:  # the interval of very large values may overflow
            half = half_width(half, f"interval of method {name!r}")
        if half is not None:
            axes.plot([mean - half, mean + half], [index, index], color=COLOURS[0], linewidth=2.5)
        axes.plot([mean], [index], "o", color=COLOURS[2], markersize=6, markeredgecolor="white")
        if len(seeds) > 1:
            below = np.full(len(seeds), index + SEEDS_BELOW)
            axes.plot(seeds, below, "|", color=FAINT, markersize=5, markeredgewidth=1)
        axes.annotate(
            with_interval(mean, half),
            (1.0, index),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
        )
    name_rows(axes, names)
    label_axes(axes, xlabel, "", title)
    fit_canvas(figure)
    return figure
