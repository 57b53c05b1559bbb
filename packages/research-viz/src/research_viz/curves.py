"""Draw learning curves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from research_viz.canvas import NAME_WIDTH, fit_canvas, label_axes, new_panels, wrapped
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
MARKS = 7  # markers on a line: enough to identify it, few enough to see it


@dataclass(frozen=True)
class Curve:
    """A line, with a band around it if there are several seeds; all arrays are (steps,)."""

    steps: Floats
    middle: Floats
    low: Floats
    high: Floats
    seeds: int


Curves = Mapping[str, tuple[ArrayLike, ArrayLike]]


def learning_curves(
    curves: Curves,
    ylabel: str,
    xlabel: str = "step",
    title: str = "",
    logarithmic: bool = False,
    band: Band = "interval",
    of: str = "seeds",
) -> Figure:
    """Draw one line for each name: a run's values, or the mean over seeds with a band around it.

    curves: name -> (steps, values); steps (steps,), values (steps,) or (seeds, steps).
    logarithmic: use a logarithmic y axis; all values must then be above 0.
    band: at each step, the 95 % t-interval of the mean over seeds ("interval"), or from the lowest
    to the highest seed ("range"); the legend says which. of: the word for the seeds in the legend,
    such as `runs`.

    A value of any seed that is not finite leaves a gap in the mean: a mean over the seeds that did
    not diverge would be too good. The legend is in the order of the lines' last values.
    """
    return curve_panels({ylabel: curves}, xlabel, title, [ylabel] if logarithmic else [], band, of)


@house_style()
def curve_panels(
    panels: Mapping[str, Curves],
    xlabel: str = "step",
    title: str = "",
    logarithmic: Collection[str] = (),
    band: Band | Mapping[str, Band] = "interval",
    of: str = "seeds",
) -> Figure:
    """Draw learning curves of several metrics in panels, from top to bottom.

    panels: label of the y axis -> curves. A name has the same colour in all panels. logarithmic:
    labels of the panels with a logarithmic y axis. band: one for all panels, or label -> band. The
    other arguments are those of `learning_curves`.
    """
    not_empty(panels, "panel")
    bands = {ylabel: band if isinstance(band, str) else band[ylabel] for ylabel in panels}
    for each in bands.values():
        if each not in BANDS:
            raise ValueError(f"band: {each!r} is not one of {', '.join(map(repr, BANDS))}")
    places: dict[str, int] = {}  # name -> number of the series, the same in every panel
    drawn: list[dict[str, Curve]] = []
    for ylabel, curves in panels.items():
        not_empty(curves, "curve")
        positive = ylabel in logarithmic
        drawn.append(
            {name: _curve(name, *each, bands[ylabel], positive) for name, each in curves.items()}
        )
        if not any(np.isfinite(curve.middle).any() for curve in drawn[-1].values()):
            raise ValueError(f"nothing to draw: there is no finite value in {', '.join(curves)}")
        for name in curves:
            places.setdefault(name, len(places))
    figure, axes = new_panels(len(panels))
    for place, ylabel, shown in zip(axes, panels, drawn, strict=True):
        if ylabel in logarithmic:
            place.set_yscale("log")
        lines = {name: _draw(place, places[name], name, shown[name]) for name in shown}
        place.xaxis.set_major_locator(MaxNLocator(MOST_TICKS, steps=[1, 2, 2.5, 5, 10]))
        place.grid(True)
        label_axes(
            place, xlabel if place is axes[-1] else "", ylabel, title if place is axes[0] else ""
        )
        _draw_legend(place, shown, lines, f"{BANDS[bands[ylabel]]} {{}} {of}")
    fit_canvas(figure)
    return figure


def _draw_legend(
    axes: Axes, curves: Mapping[str, Curve], lines: Mapping[str, Line2D], band: str
) -> None:
    """Draw the legend beside the axes, in the order of the lines' last values.

    band: the label of the band, with {} for the number of seeds.
    """
    bands = [curve for curve in curves.values() if curve.seeds > 1]
    if not bands and len(curves) == 1:
        return
    order = sorted(curves, key=lambda name: _end(curves[name]), reverse=True)
    handles: list[Line2D | Patch] = [lines[name] for name in order]
    if bands:
        label = wrapped(band.format(_counts(bands)), NAME_WIDTH)
        handles.append(Patch(facecolor=FAINT, alpha=0.25, linewidth=0, label=label))
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.03, 1.0),  # never over a curve
        borderaxespad=0.0,
        handlelength=3.2,  # as long as the longest dash pattern
    )


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
            f"{what}: {seeds[seed, step]:g} at {where[step]:g}, but on a logarithmic axis all "
            "values must be above 0"
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
    """The indices of a line's points with a marker: all isolated points, and a few others.

    The others are shifted on every second line, so that markers of two lines rarely coincide.
    """
    places = np.flatnonzero(here)
    if len(places) <= MARKS:
        return [int(place) for place in places]
    between = (np.arange(MARKS) + 0.25 + 0.5 * (index % 2)) * len(places) / MARKS
    return sorted({int(place) for place in [*places[between.astype(int)], *np.flatnonzero(alone)]})


def _end(curve: Curve) -> float:
    """A curve's last finite value, by which the legend is sorted."""
    finite_values = curve.middle[np.isfinite(curve.middle)]
    return float(finite_values[-1]) if len(finite_values) else -np.inf


def _counts(curves: list[Curve]) -> str:
    """The number of seeds of the curves: `5`, or `3 to 5`."""
    counts = sorted({curve.seeds for curve in curves})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
