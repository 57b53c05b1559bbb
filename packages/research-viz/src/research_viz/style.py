"""The house style: one look for every figure, legible in greyscale and to colour-blind readers."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito (2008), dark ones first; told apart without red against green.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))


def new_figure(width: float = 5.5, height: float = 3.5) -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes; sizes in inches. No pyplot, so no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
