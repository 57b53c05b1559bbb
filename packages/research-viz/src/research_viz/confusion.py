"""Confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from research_viz.style import new_figure


def confusion_matrix(
    counts: ArrayLike, labels: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Draw which classes are taken for which.

    counts: (classes, classes), examples of true class (row) predicted as class (column).
    labels: a name a class, their numbers by default.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"counts must be square, got shape {counts.shape}")
    classes = len(counts)
    names = [str(label) for label in (labels or range(classes))]
    if len(names) != classes:
        raise ValueError(f"{len(names)} labels for {classes} classes")
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.6 + 0.36 * classes
    figure, axes = new_figure(size + 0.8, size)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts):
        axes.text(
            column,
            row,
            f"{counts[row, column]}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.55 else "black",
        )
    axes.set(xlabel="predicted", ylabel="true", title=title)
    axes.set_xticks(range(classes), names)
    axes.set_yticks(range(classes), names)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    return figure
