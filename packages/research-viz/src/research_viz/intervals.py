"""The 95 % t-interval of a mean over seeds."""

import math

from numpy.typing import ArrayLike
from scipy.special import stdtrit

from research_viz.inputs import Floats, finite


def t_interval(values: ArrayLike) -> tuple[float, float | None]:
    """Mean over seeds and the half-width of its 95 % t-interval.

    values: (seeds,). Returns (mean, half-width); the half-width is None for one seed, which says
    nothing about the spread.
    """
    seeds = finite(values, "values")
    if seeds.ndim != 1 or not seeds.size:
        raise ValueError(f"values: must have the shape (seeds,), got shape {seeds.shape}")
    if len(seeds) == 1:
        return float(seeds[0]), None
    mean, half = t_intervals(seeds)
    return float(mean), float(half)


def t_intervals(values: Floats) -> tuple[Floats, Floats]:
    """Means over seeds and the half-widths of their 95 % t-intervals.

    values: (seeds, ...), two seeds or more. Returns (mean, half-width), each (...).
    """
    seeds = len(values)
    deviation = values.std(axis=0, ddof=1)
    quantile = float(stdtrit(seeds - 1, 0.975))  # Student's t at 97.5 %
    return values.mean(axis=0), quantile * deviation / math.sqrt(seeds)
