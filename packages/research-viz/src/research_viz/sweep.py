"""Draw a sweep over two parameters as a map of cells."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from research_viz.canvas import fit_canvas, label_axes, new_figure, text_width
from research_viz.heat import colour_bar, ink_on, name_ticks
from research_viz.inputs import number, numbers
from research_viz.style import INK, SEQUENTIAL, SMALL, house_style

Coordinate = str | int | float | bool
CELL_HEIGHT = 0.32  # inches
LEAST_WIDTH = 0.5
MOST_CELLS = 40  # rows or columns; more can't be read


@house_style()
def sweep_heatmap(
    values: Mapping[tuple[Coordinate, Coordinate], float | None],
    ylabel: str,
    xlabel: str,
    value_label: str,
    title: str = "",
    digits: int = 3,
    best: Literal["highest", "lowest"] | None = None,
) -> Figure:
    """Draw each combination of two parameters as a cell, with its value written in it.

    values: (row, column) -> value. Coordinates that are numbers are sorted, names keep their order.
    A combination that is absent or None was not run: its cell is hatched and empty. One that is NaN
    or infinite diverged: its cell is hatched and shows the value.
    digits: significant digits of the values. best: frame the highest or lowest cell.
    """
    runs = {place: value for place, value in values.items() if value is not None}
    if not runs:
        raise ValueError(f"none of the {len(values)} combinations has a value to draw")
    if best not in (None, "highest", "lowest"):
        raise ValueError(f"best: {best!r} is neither 'highest' nor 'lowest'")
    if not 1 <= digits <= 15:
        raise ValueError(f"digits: {digits} is not from 1 to 15")
    rows, columns = (_sorted(place[side] for place in values) for side in (0, 1))
    if max(len(rows), len(columns)) > MOST_CELLS:
        raise ValueError(
            f"{len(rows)} by {len(columns)} cells can't be read: at most {MOST_CELLS} by "
            f"{MOST_CELLS} are drawn"
        )
    array = np.full((len(rows), len(columns)), np.nan)
    texts: dict[tuple[int, int], str] = {}
    for (row, column), value in runs.items():
        place = rows.index(row), columns.index(column)
        array[place] = numbers(value, f"value at ({row}, {column})")
        texts[place] = f"{array[place]:.{digits}g}"
    width = max(LEAST_WIDTH, 0.12 + max(text_width(text, SMALL) for text in texts.values()))
    figure, axes = new_figure(width * len(columns), CELL_HEIGHT * len(rows))
    shown = np.ma.masked_invalid(array)
    norm = Normalize()
    image = axes.imshow(shown, cmap=SEQUENTIAL, norm=norm, aspect="auto")
    _draw_cells(axes, array, texts, norm)
    if best and shown.count():
        _frame(axes, int(shown.argmax() if best == "highest" else shown.argmin()), len(columns))
    name_ticks(axes, [_name(c) for c in columns], [_name(r) for r in rows], width, CELL_HEIGHT)
    label_axes(axes, xlabel, ylabel, title)
    if shown.count():
        colour_bar(figure, axes, image, value_label)
    fit_canvas(figure)
    return figure


def _draw_cells(
    axes: Axes, array: np.ndarray, texts: dict[tuple[int, int], str], norm: Normalize
) -> None:
    for row, column in np.ndindex(array.shape):
        value = array[row, column]
        if not math.isfinite(value):
            axes.add_patch(
                Rectangle(
                    (column - 0.5, row - 0.5),
                    1,
                    1,
                    facecolor="#F2F2F2",
                    edgecolor="#BBBBBB",
                    hatch="////",
                    linewidth=0,
                )
            )
        text = texts.get((row, column))
        if text is None:
            continue
        shade = float(norm(value)) if math.isfinite(value) else 0.0
        box = None if math.isfinite(value) else {"facecolor": "white", "pad": 1, "linewidth": 0}
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=SMALL,
            color=ink_on(SEQUENTIAL, shade),
            bbox=box,
        )


def _frame(axes: Axes, flat: int, columns: int) -> None:
    row, column = divmod(flat, columns)
    axes.add_patch(
        Rectangle(
            (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=INK, linewidth=2, clip_on=False
        )
    )


def _sorted(coordinates: Iterable[Coordinate]) -> list[Coordinate]:
    found = list(dict.fromkeys(coordinates))
    sortable = [number(each, "a coordinate") for each in found if not isinstance(each, str)]
    return sorted(found, key=float) if len(sortable) == len(found) else found


def _name(coordinate: Coordinate) -> str:
    return f"{coordinate:g}" if isinstance(coordinate, float) else str(coordinate)
