"""What figures of coloured cells share: readable labels, names at the sides, a colour bar."""

from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from research_viz.canvas import NAME_WIDTH, text_height, text_width, wrapped
from research_viz.style import INK, SMALL

BAR_WIDTH = 0.14  # inches
BAR_GAP = 0.15
BAR_LEAST = 1.3  # inches, high enough for its label


def ink_on(colormap: str, position: float) -> str:
    """The text colour, dark or white, with more contrast on a colormap's colour (WCAG 2.1).

    position: of the colour in the colormap, from 0 to 1.
    """
    colour = matplotlib.colormaps[colormap](position)[:3]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    dark = 0.0159  # the luminance of INK
    return INK if (luminance + 0.05) / (dark + 0.05) > 1.05 / (luminance + 0.05) else "white"


def name_ticks(
    axes: Axes, columns: Sequence[str], rows: Sequence[str], width: float, height: float
) -> None:
    """Name the columns below the cells and the rows at their left.

    width, height: of a cell, in inches. Column names that are too wide are turned upright. When
    there is no room for all names, only every second, fifth, tenth, ... is shown.
    """
    below = [wrapped(name, NAME_WIDTH, SMALL) for name in columns]
    left = [wrapped(name, NAME_WIDTH, SMALL) for name in rows]
    upright = any(text_width(name, SMALL) > width - 0.04 for name in below)
    step = _every(max(map(_high, below)), width) if upright else 1
    axes.set_xticks(
        range(0, len(below), step),
        below[::step],
        rotation=90 if upright else 0,
        multialignment="right" if upright else "center",
    )
    step = _every(max(map(_high, left)), height)
    axes.set_yticks(range(0, len(left), step), left[::step], multialignment="right")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def colour_bar(figure: Figure, axes: Axes, image: ScalarMappable, label: str) -> None:
    """Draw a colour bar right of the axes and as high, with its label wrapped to that height."""
    width, height = figure.get_size_inches()
    bar_height = max(height, BAR_LEAST) / height
    bar = figure.add_axes((1 + BAR_GAP / width, 1 - bar_height, BAR_WIDTH / width, bar_height))
    figure.colorbar(image, cax=bar)
    bar.set_ylabel(wrapped(label, max(height, BAR_LEAST)))
    bar.spines[:].set_visible(False)


def _high(name: str) -> float:
    return text_height(name, SMALL)


def _every(need: float, room: float) -> int:
    """The smallest step of 1, 2, 5, 10, ... at which names do not touch.

    need: inches that a name needs. room: inches that a cell has.
    """
    step, factors = 1, (2, 2.5, 2)
    index = 0
    while need > step * room + 1e-9:
        step = round(step * factors[index % 3])
        index += 1
    return step
