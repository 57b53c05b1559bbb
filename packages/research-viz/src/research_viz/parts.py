"""Draw what wholes are made of, as bars of coloured parts."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from research_viz.canvas import (
    NAME_WIDTH,
    fit_canvas,
    label_axes,
    name_rows,
    new_figure,
    text_height,
    wrapped,
)
from research_viz.inputs import not_empty, number
from research_viz.style import COLOURS, SMALL, house_style, series_colour

WIDTH = 4.2  # inches
ROW_HEIGHT = 0.34
HATCHES = ("", "///", "...")  # a colour that comes again has another one


@house_style()
def part_bars(wholes: Mapping[str, Mapping[str, float]], xlabel: str, title: str = "") -> Figure:
    """Draw each whole as a bar of its parts, one after the other, with their sum at its end.

    wholes: name -> part -> value, 0 or more; drawn from top to bottom. A part has the same colour
    in all bars. Raises ValueError for values that can't be drawn.
    """
    not_empty(wholes, "whole")
    parts = list(dict.fromkeys(part for whole in wholes.values() for part in whole))
    names = [wrapped(name, NAME_WIDTH, SMALL) for name in wholes]
    row = max(ROW_HEIGHT, max(text_height(name, SMALL) for name in names) + 0.08)
    figure, axes = new_figure(WIDTH, row * len(names))
    ends = [0.0] * len(wholes)
    for index, part in enumerate(parts):
        widths = [_width(name, part, whole.get(part, 0.0)) for name, whole in wholes.items()]
        axes.barh(
            range(len(wholes)),
            widths,
            height=0.7,
            left=ends,
            label=wrapped(part, NAME_WIDTH),
            color=series_colour(index),
            edgecolor="white",
            hatch=HATCHES[index // len(COLOURS) % len(HATCHES)],
        )
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    for index, end in enumerate(ends):
        axes.annotate(
            f"{end:.3g}",
            (end, index),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=SMALL,
        )
    name_rows(axes, names)
    if parts:
        axes.legend(loc="center left", bbox_to_anchor=(1.1, 0.5))
    label_axes(axes, xlabel, "", title)
    fit_canvas(figure)
    return figure


def _width(name: str, part: str, value: float) -> float:
    width = number(value, f"{part!r} of {name!r}")
    if width < 0:
        raise ValueError(f"{part!r} of {name!r}: a part can't be negative, got {width:g}")
    return width
