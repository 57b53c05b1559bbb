"""Draw a sweep over many parameters as parallel coordinates: an axis each, a line for a setting."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure

from research_viz.canvas import fit_canvas, label_axes, new_figure, wrapped
from research_viz.heat import colour_bar
from research_viz.inputs import Floats, number, numbers
from research_viz.style import FAINT, INK, SEQUENTIAL, SMALL, house_style
from research_viz.sweep import Coordinate

AXIS_GAP = 1.3  # inches between two axes, wide enough for the names of most keys
HEIGHT = 2.6
TICKS = 5  # of an axis of numbers
PALEST = 0.3  # of the colour map: paler lines can't be seen on white


@house_style()
def parallel_coordinates(
    settings: Sequence[Mapping[str, Coordinate]],
    values: Sequence[float | None],
    value_label: str,
    best: Literal["highest", "lowest"] = "highest",
    logarithmic: Collection[str] = (),
    title: str = "",
) -> Figure:
    """Draw each setting as a line over its parameters, coloured by its value.

    settings: parameter -> coordinate, all with the same parameters, an axis each in that order.
    Coordinates that are numbers are placed as numbers, on a logarithmic axis for the parameters of
    that list; names are placed evenly, in their order. values: one for each setting; those that are
    None, NaN or infinite are grey dashes. best: the highest or the lowest value is drawn last, with
    a dark frame. Raises ValueError for what can't be drawn.
    """
    if best not in ("highest", "lowest"):
        raise ValueError(f"best: {best!r} is neither 'highest' nor 'lowest'")
    if not settings or len(settings) != len(values):
        raise ValueError(f"{len(settings)} settings need as many values, got {len(values)}")
    keys = list(settings[0])
    if len(keys) < 2 or any(list(each) != keys for each in settings):
        raise ValueError("all settings need the same parameters, two or more")
    found = numbers([math.nan if each is None else each for each in values], "values")
    shown = np.isfinite(found)
    if not shown.any():
        raise ValueError(f"none of the {len(settings)} settings has a value to draw")
    figure, axes = new_figure(AXIS_GAP * (len(keys) - 1), HEIGHT)
    columns = []
    for index, key in enumerate(keys):
        places, ticks = _places(key, [each[key] for each in settings], key in logarithmic)
        columns.append(places)
        _draw_axis(axes, index, ticks, left=index == len(keys) - 1)
    heights = np.column_stack(columns)
    norm = Normalize(found[shown].min(), found[shown].max())
    sign = 1 if best == "highest" else -1
    order = sorted(range(len(found)), key=lambda i: sign * found[i] if shown[i] else -math.inf)
    colours = matplotlib.colormaps[SEQUENTIAL]
    for rank, index in enumerate(order):
        if not shown[index]:
            axes.plot(heights[index], color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
            continue
        shade = PALEST + (1 - PALEST) * float(norm(found[index]))
        if rank == len(order) - 1:
            axes.plot(heights[index], color=INK, linewidth=4.5)
        axes.plot(heights[index], color=colours(shade), linewidth=2)
    axes.set_xlim(0, len(keys) - 1)
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([])
    names = [wrapped(key, AXIS_GAP - 0.1, SMALL) for key in keys]
    axes.set_xticks(range(len(keys)), names)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    label_axes(axes, title=title)
    bar = LinearSegmentedColormap.from_list(
        "lines", [colours(PALEST + (1 - PALEST) * share) for share in np.linspace(0, 1, 32)]
    )
    colour_bar(figure, axes, ScalarMappable(norm, bar), value_label)
    fit_canvas(figure)
    return figure


def _places(
    key: str, coordinates: Sequence[Coordinate], logarithmic: bool
) -> tuple[Floats, list[tuple[float, str]]]:
    """The height of each coordinate on its axis, from 0 to 1, and the axis's labels."""
    if any(isinstance(each, str | bool) for each in coordinates):
        names = list(dict.fromkeys(coordinates))
        places = {name: (i + 0.5) / len(names) for i, name in enumerate(names)}
        ticks = [(places[name], str(name)) for name in names]
        return np.array([places[each] for each in coordinates]), ticks
    found = np.array([number(float(each), key) for each in coordinates])
    lowest, highest = float(found.min()), float(found.max())
    if logarithmic and lowest <= 0:
        raise ValueError(f"{key}: {lowest:g} has no place on a logarithmic axis")
    shown = np.unique(found)
    if len(shown) > TICKS:
        shown = (np.geomspace if logarithmic else np.linspace)(lowest, highest, TICKS)
    least, most = (math.log(each) if logarithmic else each for each in (lowest, highest))

    def height(values: Floats) -> Floats:
        return ((np.log(values) if logarithmic else values) - least) / ((most - least) or 1.0)

    marks = height(shown)
    return height(found), [
        (float(mark), f"{each:.3g}") for mark, each in zip(marks, shown, strict=True)
    ]


def _draw_axis(axes: Axes, index: int, ticks: Sequence[tuple[float, str]], left: bool) -> None:
    """Draw an axis with its labels beside it, over the lines. left: on its left."""
    axes.axvline(index, color=FAINT, linewidth=0.8, zorder=0)
    for height, text in ticks:
        axes.annotate(
            wrapped(text, AXIS_GAP - 0.2, SMALL),
            (index, height),
            xytext=(-3 if left else 3, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=SMALL,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.5},
            zorder=5,
        )
