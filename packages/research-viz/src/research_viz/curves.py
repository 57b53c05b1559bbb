"""Learning curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from research_viz.canvas import NAME_WIDTH, fit_canvas, label_axes, new_figure, wrapped
from research_viz.inputs import Floats, finite, not_empty, numbers
from research_viz.intervals import t_intervals
from research_viz.style import (
    FAINT,
    MOST_TICKS,
    house_style,
    series_colour,
    series_dashes,
    series_marker,
)

Band = Literal["interval", "range"]
BANDS: dict[Band, str] = {
    "interval": "band: 95 % t-interval of the mean of",
    "range": "band: lowest to highest of",
}
MARKS = 7  # on a line: enough to find its marker, too few to hide it


@dataclass(frozen=True)
class Curve:
    """A line, with the band around it if there are seeds to make one; all (steps,)."""

    steps: Floats
    middle: Floats
    low: Floats
    high: Floats
    seeds: int


@house_style()
def learning_curves(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    ylabel: str,
    xlabel: str = "step",
    title: str = "",
    logarithmic: bool = False,
    band: Band = "interval",
) -> Figure:
    """Draw one line a name: a run's values, or the mean over seeds with a band around it.

    curves: name -> (steps, values); steps (steps,), values (steps,) or (seeds, steps).
    logarithmic: the y axis is; then every value must be over 0.
    band: over the seeds at each step, the 95 % t-interval of the mean ("interval") or from the
    lowest to the highest seed ("range"); the legend says which.

    A value that is not finite leaves a gap, in the mean as well, whichever seed it is of: a mean
    over the seeds that survived would flatter. The legend is in the order of the lines' ends.
    """
    not_empty(curves, "curve")
    if band not in BANDS:
        raise ValueError(f"band: {band!r} is none of {', '.join(map(repr, BANDS))}")
    drawn = {name: _curve(name, *curve, band, logarithmic) for name, curve in curves.items()}
    if not any(np.isfinite(curve.middle).any() for curve in drawn.values()):
        raise ValueError(f"there is nothing to draw: no finite value in {', '.join(drawn)}")
    figure, axes = new_figure()
    if logarithmic:
        axes.set_yscale("log")
    lines = {
        name: _draw(axes, index, name, curve) for index, (name, curve) in enumerate(drawn.items())
    }
    axes.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, steps=[1, 2, 2.5, 5, 10]))
    axes.grid(True)
    label_axes(axes, xlabel, ylabel, title)
    bands = [curve for curve in drawn.values() if curve.seeds > 1]
    if bands or len(curves) > 1:
        order = sorted(drawn, key=lambda name: _end(drawn[name]), reverse=True)
        handles: list[Line2D | Patch] = [lines[name] for name in order]
        if bands:
            label = wrapped(_band_label(band, bands), NAME_WIDTH)
            handles.append(Patch(facecolor=FAINT, alpha=0.25, linewidth=0, label=label))
        axes.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(1.03, 1.0),  # never over a curve
            borderaxespad=0.0,
            handlelength=3.2,  # as long as the longest dash pattern
        )
    fit_canvas(figure)
    return figure


def _curve(name: str, steps: ArrayLike, values: ArrayLike, band: Band, positive: bool) -> Curve:
    where = finite(steps, f"curve {name!r}, steps")
    what = f"curve {name!r}, values"
    seeds = np.atleast_2d(numbers(values, what))
    if where.ndim != 1 or seeds.ndim != 2 or seeds.shape[1] != len(where):
        raise ValueError(
            f"curve {name!r}: steps of shape {where.shape} need values of shape (steps,) or "
            f"(seeds, steps), got {np.shape(values)}"
        )
    if not seeds.size:
        raise ValueError(f"curve {name!r} has no values")
    if positive and (seeds <= 0).any():
        seed, step = np.argwhere(seeds <= 0)[0]
        raise ValueError(
            f"{what}: {seeds[seed, step]:g} at {where[step]:g}, but a logarithmic axis has only "
            "values over 0"
        )
    whole = np.isfinite(seeds).all(axis=0)
    seeds = np.where(whole, seeds, np.nan)
    if len(seeds) == 1:
        return Curve(where, seeds[0], seeds[0], seeds[0], 1)
    mean, half = t_intervals(seeds)
    if band == "range":
        return Curve(where, mean, seeds.min(axis=0), seeds.max(axis=0), len(seeds))
    return Curve(where, mean, mean - half, mean + half, len(seeds))


def _draw(axes: Axes, index: int, name: str, curve: Curve) -> Line2D:
    colour = series_colour(index)
    here = np.isfinite(curve.middle)
    alone = here & ~np.r_[False, here[:-1]] & ~np.r_[here[1:], False]
    label = name if here.any() else f"{name} (no finite value)"
    (line,) = axes.plot(
        curve.steps,
        curve.middle,
        label=wrapped(label, NAME_WIDTH),
        color=colour,
        linestyle=series_dashes(index),
        marker=series_marker(index),
        markevery=_marks(here, alone, index),
        markeredgecolor="white",
        markeredgewidth=0.5,
    )
    if curve.seeds > 1:
        axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
        axes.vlines(curve.steps[alone], curve.low[alone], curve.high[alone], color=colour)
    return line


def _marks(here: NDArray[np.bool_], alone: NDArray[np.bool_], index: int) -> list[int]:
    """Where a line bears its marker: each point alone, a few others, moved from line to line."""
    places = np.flatnonzero(here)
    if len(places) <= MARKS:
        return [int(place) for place in places]
    between = (np.arange(MARKS) + 0.25 + 0.5 * (index % 2)) * len(places) / MARKS
    return sorted({int(place) for place in [*places[between.astype(int)], *np.flatnonzero(alone)]})


def _end(curve: Curve) -> float:
    """The last finite value, by which the legend is sorted."""
    finite_values = curve.middle[np.isfinite(curve.middle)]
    return float(finite_values[-1]) if len(finite_values) else -np.inf


def _band_label(band: Band, curves: list[Curve]) -> str:
    counts = sorted({curve.seeds for curve in curves})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{BANDS[band]} {seeds} seeds"
