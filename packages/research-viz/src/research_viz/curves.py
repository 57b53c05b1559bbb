"""Learning curves."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from research_viz.style import COLOURS, DASHES, new_figure


def learning_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    ylabel: str,
    xlabel: str = "step",
    title: str = "",
    logarithmic: bool = False,
) -> Figure:
    """Draw one line a curve.

    curves: name -> (steps, values), two sequences of one length.
    logarithmic: the y axis is.
    """
    if not curves:
        raise ValueError("there is no curve to draw")
    figure, axes = new_figure()
    for index, (name, (steps, values)) in enumerate(curves.items()):
        axes.plot(
            steps,
            values,
            label=name,
            color=COLOURS[index % len(COLOURS)],
            linestyle=DASHES[index % len(DASHES)],
        )
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if logarithmic:
        axes.set_yscale("log")
    if len(curves) > 1:
        figure.legend(loc="outside right center", frameon=False)  # never over a curve
    axes.grid(alpha=0.3)
    return figure
