"""Draw a confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from research_viz.canvas import fit_canvas, label_axes, new_figure, text_width
from research_viz.heat import colour_bar, ink_on, name_ticks
from research_viz.inputs import finite
from research_viz.style import SEQUENTIAL, SMALL, house_style

MOST_CLASSES_WITH_COUNTS = 40  # with more, the numbers would make the figure too large
LARGEST_SIDE = 8.0  # inches, for a figure without counts


@house_style()
def confusion_matrix(
    counts: ArrayLike, labels: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Draw how often each true class was predicted as each class.

    counts: (classes, classes), examples of true class (row) predicted as class (column).
    labels: the name of each class; by default their numbers.

    The colour is the share of the true class. Counts other than zero are written in the cells, for
    up to 40 classes.
    """
    array = finite(counts, "counts")
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ValueError(f"counts must be square, got shape {array.shape}")
    if (array < 0).any():
        row, column = np.argwhere(array < 0)[0]
        raise ValueError(f"counts: {array[row, column]:g} at row {row}, column {column} is below 0")
    classes = len(array)
    names = [str(label) for label in (range(classes) if labels is None else labels)]
    if len(names) != classes:
        raise ValueError(f"{len(names)} labels for {classes} classes")
    total = array.sum(axis=1, keepdims=True)
    shares = np.divide(array, total, out=np.zeros_like(array), where=total > 0)
    written = [f"{count:g}" if count % 1 else f"{count:.0f}" for count in array.flat]
    with_counts = classes <= MOST_CLASSES_WITH_COUNTS
    cell = min(0.34, LARGEST_SIDE / classes)
    if with_counts:
        cell = max(0.34, 0.1 + max(text_width(text, SMALL) for text in written))
    figure, axes = new_figure(classes * cell, classes * cell)
    image = axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    if with_counts:
        _write_counts(axes, array, shares, written)
    name_ticks(axes, names, names, cell, cell)
    label_axes(axes, "predicted", "true", title)
    colour_bar(figure, axes, image, "share of the true class")
    fit_canvas(figure)
    return figure


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray, written: list[str]) -> None:
    for row, column in np.argwhere(counts):
        axes.text(
            column,
            row,
            written[row * len(counts) + column],
            ha="center",
            va="center",
            fontsize=SMALL,
            color=ink_on(SEQUENTIAL, shares[row, column]),
        )
