"""The house style: one look for every figure, legible in greyscale and to colour-blind readers.

A series is told from the others by colour, dashes and marker, each of which does it alone.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

Dashes = str | tuple[int, tuple[float, ...]]  # matplotlib: offset, then points on and off

# Six steps of lightness (CIE L* 18 to 76), so that greyscale keeps them apart; the hues were
# searched so that dichromats do too. tests/test_style.py measures both. Order: the first few
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
SEQUENTIAL = "Blues"  # white to dark: lightness falls all the way, so greyscale keeps the order
INK = "#222222"
FAINT = "#6B6B6B"  # still 5.3 : 1 against white

FONT_SIZE = 9.0  # points; figures are 5 to 9 inches wide, which a README shows nearly full size
SMALL = 8.0
MOST_TICKS = 6  # on an x axis: seven digits each do not touch

# Everything else is matplotlib's default, whatever the reader's matplotlibrc says. DejaVu Sans
# comes with matplotlib: the same letters on every machine.
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
    "pdf.fonttype": 42,  # letters stay letters, as journals ask for
    "svg.hashsalt": "research-viz",  # names inside an SVG are made from it: equal from run to run
}

_rc_is_ours = threading.RLock()  # rcParams are global: two threads would restore each other's


@contextmanager
def house_style() -> Iterator[None]:
    """While it lasts, matplotlib draws in the house style and no other; also a decorator."""
    with _rc_is_ours, matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(HOUSE)
        yield


def series_colour(index: int) -> str:
    """The colour of series number index; they come round again after six."""
    return COLOURS[index % len(COLOURS)]


def series_dashes(index: int) -> Dashes:
    """Its line style: another one each time that the colours come round."""
    return DASHES[(index + index // len(COLOURS)) % len(DASHES)]


def series_marker(index: int) -> str:
    """Its marker, which goes with the dashes."""
    return MARKERS[(index + index // len(COLOURS)) % len(MARKERS)]
