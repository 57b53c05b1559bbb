"""The 95 % t-interval of a mean over seeds."""

import math

import numpy as np
from numpy.typing import ArrayLike

from research_viz.inputs import Floats, finite

# Student's t at 97.5 %, 1 to 9 degrees of freedom; from 10 on the series below is right to 4e-6.
# So a band over seeds does not cost SciPy.
T_975 = (
    *(12.7062047, 4.3026527, 3.1824463, 2.7764451, 2.5705818),
    *(2.4469119, 2.3646243, 2.3060041, 2.2621572),
)
NORMAL_975 = 1.959963984540054


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
    return values.mean(axis=0), t_975(seeds - 1) * deviation / math.sqrt(seeds)


def t_975(degrees: int) -> float:
    """Student's t at 97.5 % (Abramowitz and Stegun, 26.7.5, where it isn't in the table)."""
    if degrees <= len(T_975):
        return T_975[degrees - 1]
    z = NORMAL_975
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(np.polynomial.polynomial.polyval(1 / degrees, terms))
