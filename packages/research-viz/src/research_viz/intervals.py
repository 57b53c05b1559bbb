"""The 95 % t-interval of a mean over seeds."""

import math

from numpy.typing import ArrayLike
from scipy.special import stdtrit

from research_viz.inputs import Floats, finite


def t_interval(values: ArrayLike) -> tuple[float, float | None]:
    """Mean over seeds and the half-width of its 95 % t-interval.

    values: (seeds,). Returns (mean, half-width), the half-width None for one seed, of which
    nothing is known about the spread.
    """
    seeds = finite(values, "values")
    if seeds.ndim != 1 or not seeds.size:
        raise ValueError(f"values: one number a seed is needed, got shape {seeds.shape}")
    if len(seeds) == 1:
        return float(seeds[0]), None
    mean, half = t_intervals(seeds)
    return float(mean), float(half)


def t_intervals(values: Floats) -> tuple[Floats, Floats]:
    """Over the first axis: values (seeds, ...), two or more; returns mean and half-width, (...)."""
    seeds = len(values)
    deviation = values.std(axis=0, ddof=1)
    quantile = float(stdtrit(seeds - 1, 0.975))  # Student's t at 97.5 %
    return values.mean(axis=0), quantile * deviation / math.sqrt(seeds)
