"""Convert a caller's data to arrays that can be drawn, or raise a ValueError that says why not."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST = 1e100  # beyond it, sums of squares and matplotlib's ticks overflow

Floats = NDArray[np.float64]


def numbers(values: ArrayLike, what: str) -> Floats:
    """values as floats of any shape, not finite ones included; `what` names them in the error.

    None, and what a masked array masks, is not a number (NaN). Complex numbers and texts are none.
    """
    try:
        given = np.ma.asarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
        if given.dtype.kind not in "biufO":  # NumPy would drop half of a complex number
            raise TypeError(f"they are {given.dtype}")
        if given.dtype.kind == "O" and any(isinstance(each, str | bytes) for each in given.flat):
            raise TypeError("there is text among them")
        array = np.asarray(np.ma.filled(given.astype(np.float64), np.nan))
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # of torch: has a graph
        raise ValueError(f"{what}: not an array of numbers ({error})") from None
    huge = np.isfinite(array) & (np.abs(array) > LARGEST)
    if huge.any():
        raise ValueError(f"{what}: {array[huge][0]:g} is too large to draw (over {LARGEST:g})")
    return array


def finite(values: ArrayLike, what: str) -> Floats:
    """values as floats; refuses NaN and infinity."""
    array = numbers(values, what)
    bad = ~np.isfinite(array)
    if bad.any():
        place = ", ".join(str(index) for index in np.argwhere(bad)[0])
        at = f" at position {place}" if place else ""
        raise ValueError(f"{what}: {array[bad][0]:g}{at} is not a finite number")
    return array


def number(value: float, what: str) -> float:
    """One finite number."""
    array = finite(value, what)
    if array.ndim:
        raise ValueError(f"{what}: one number is needed, got an array of shape {array.shape}")
    return float(array)


def half_width(interval: float | None, what: str) -> float | None:
    """An interval as its half-width: finite and not negative, or None where there is none."""
    if interval is None:
        return None
    half = number(interval, what)
    if half < 0:
        raise ValueError(f"{what}: a half-width can't be negative, got {half:g}")
    return half


def not_empty(values: Mapping[str, object], what: str) -> None:
    """Refuse a mapping without entries."""
    if not values:
        raise ValueError(f"there is no {what} to draw")
