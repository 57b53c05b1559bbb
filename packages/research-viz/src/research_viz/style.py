"""The house style: one look for every figure, legible in greyscale and to colour-blind readers.

Series differ in colour, dashes and marker; each of these is enough to tell them apart.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

Dashes = str | tuple[int, tuple[float, ...]]  # matplotlib: offset, then points on and off

# Six steps of lightness (CIE L* 18 to 76), so that they differ in greyscale; the hues were chosen
# so that dichromats can tell them apart as well. tests/test_style.py measures both. The first few
# differ most.
COLOURS = ("#4F73FF", "#F1B014", "#371471", "#A64014", "#AF93CA", "#693545")
DASHES: tuple[Dashes, ...] = (
    "-",
    (0, (5, 1.8)),
    (0, (1, 1.3)),
    (0, (7, 1.8, 1.3, 1.8)),
    (0, (9, 4)),
    (0, (4, 1.3, 1, 1.3, 1, 1.3)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
SEQUENTIAL = "Blues"  # white to dark; lightness decreases monotonically, also in greyscale
INK = "#222222"
FAINT = "#6B6B6B"  # contrast of 5.3 : 1 with white

FONT_SIZE = 9.0  # points; figures are 5 to 9 inches wide, which a README shows nearly full size
SMALL = 8.0
MOST_TICKS = 6  # on an x axis: few enough that labels of seven digits do not touch

# All other settings are matplotlib's defaults, whatever the user's matplotlibrc says. DejaVu Sans
# comes with matplotlib, so the font is the same on every machine.
HOUSE: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE + 1,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,  # text stays text, as journals require
    "svg.hashsalt": "research-viz",  # fixed, so that the ids inside an SVG are always the same
}

_rc_is_ours = threading.RLock()  # rcParams are global: threads would overwrite each other's


@contextmanager
def house_style() -> Iterator[None]:
    """Let matplotlib draw in the house style, in a `with` block or a decorated function."""
    with _rc_is_ours, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(HOUSE)
        yield


def series_colour(index: int) -> str:
    """The colour of the series with this index; the colours repeat after six."""
    return COLOURS[index % len(COLOURS)]


def series_dashes(index: int) -> Dashes:
    """The line style of a series; shifted by one each time that the colours repeat."""
    return DASHES[(index + index // len(COLOURS)) % len(DASHES)]


def series_marker(index: int) -> str:
    """The marker of a series, which changes with the dashes."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]
