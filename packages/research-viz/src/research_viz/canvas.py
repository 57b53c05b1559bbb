"""Lay out a figure: axes of a given size, text that fits, a canvas cut to its content.

pyplot isn't used, so that figures are freed and no display is needed.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from matplotlib import cbook
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import MathTextParser
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from research_viz.notebook import ShownFigure
from research_viz.style import FONT_SIZE, HOUSE, MOST_TICKS

MARGIN = 0.08  # inches
NAME_WIDTH = 2.2  # inches, at which the name of a method, class or claim is wrapped
POINTS = 72.0  # points in an inch
PANEL_GAP = 0.45  # inches between panels: tick labels and half a line of space
MATHEMATICS = re.compile(r"(?:[^$]|\$(?:[^\s$]|[^\s$][^$]*[^\s$])\$(?!\d))*")


def new_figure(width: float = 4.2, height: float = 2.8) -> tuple[Figure, Axes]:
    """A figure with axes of this size in inches; `fit_canvas` adds room for labels around them."""
    figure, [axes] = new_panels(1, width, height)
    return figure, axes


def new_panels(count: int, width: float = 4.2, height: float = 2.8) -> tuple[Figure, list[Axes]]:
    """A figure with several axes of this size in inches, from top to bottom.

    They share the limits of the x axis.
    """
    whole = count * height + (count - 1) * PANEL_GAP
    figure = ShownFigure(figsize=(width, whole))
    bottoms = [(count - 1 - index) * (height + PANEL_GAP) / whole for index in range(count)]
    axes: list[Axes] = []
    for bottom in bottoms:
        place = (0.0, bottom, 1.0, height / whole)
        axes.append(figure.add_axes(place, sharex=axes[0] if axes else None))
    return figure, axes


def fit_canvas(figure: Figure) -> None:
    """Cut or widen the canvas to what is drawn; all axes keep their size in inches.

    No name is cut off, and axes have the same size in every figure.
    """
    around = figure.get_tightbbox()  # also computes the layout
    old_width, old_height = figure.get_size_inches()
    width, height = around.width + 2 * MARGIN, around.height + 2 * MARGIN
    figure.set_size_inches(width, height)
    for axes in figure.axes:
        left, bottom, right, top = axes.get_position().extents
        left, right = (x * old_width - around.x0 + MARGIN for x in (left, right))
        bottom, top = (y * old_height - around.y0 + MARGIN for y in (bottom, top))
        axes.set_position(
            (left / width, bottom / height, (right - left) / width, (top - bottom) / height)
        )


def label_axes(axes: Axes, xlabel: str = "", ylabel: str = "", title: str = "") -> None:
    """Label the axes and set the title; text longer than its side of the axes is wrapped."""
    width, height = (max(side / axes.figure.dpi, NAME_WIDTH) for side in axes.bbox.size)
    axes.set_xlabel(wrapped(xlabel, width))
    axes.set_ylabel(wrapped(ylabel, height))
    if title:
        axes.set_title(wrapped(title, width + 1, FONT_SIZE + 1), loc="left")


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name rows 0, 1, ... on the left, the first on top, with a grid of values under them."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, multialignment="right")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(True, axis="x")


def wrapped(text: str, width: float, size: float = FONT_SIZE) -> str:
    """Text in lines of at most width inches, escaped for matplotlib.

    Breaks at spaces, and within a word only if it is longer than a line. A text with mathematics
    between two dollars (by Pandoc's rules, so not `$5 or $6`) is left in one line; any other dollar
    is drawn as a dollar.
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if "$" in text and _holds_mathematics(text):
        return text
    text = text.replace("$", r"\$")
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if text_width(longer, size) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        while text_width(word, size) > width:
            head = _longest_head(word, width, size)
            lines.append(head)
            word = word[len(head) :]
        line = word
    return "\n".join([*lines, line])


@lru_cache(maxsize=4096)  # each name is measured several times
def text_width(text: str, size: float = FONT_SIZE) -> float:
    """The width of a text's widest line in inches, at a font size in points."""
    font = FontProperties(family=HOUSE["font.family"], size=size)
    widths = []
    for line in text.split("\n"):
        shown, is_math = _as_drawn(line)
        width, _, _ = text_to_path.get_text_width_height_descent(shown, font, is_math)
        widths.append(width / POINTS)
    return max(widths)


def text_height(text: str, size: float = FONT_SIZE) -> float:
    """The height of a text in inches, with matplotlib's distance between lines."""
    return 1.3 * size * (text.count("\n") + 1) / POINTS


def _as_drawn(line: str) -> tuple[str, bool]:
    if cbook.is_math_text(line):
        return line, True
    return line.replace(r"\$", "$"), False


def _longest_head(word: str, width: float, size: float) -> str:
    """The longest beginning of a word that fits, at least one character.

    It never ends between the backslash and the dollar of an escaped dollar.
    """
    end = 1
    while end < len(word) and text_width(word[: end + 1], size) <= width:
        end += 1
    if word[end - 1 : end + 1] == r"\$":
        end += 1
    return word[:end]


def _holds_mathematics(text: str) -> bool:
    if not MATHEMATICS.fullmatch(text):
        return False
    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return False
    return True
