"""Convert a caller's data to arrays that can be drawn, or raise a ValueError that says why not."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST = 1e100  # beyond it, sums of squares and matplotlib's ticks overflow

Floats = NDArray[np.float64]


def numbers(values: ArrayLike, what: str) -> Floats:
    """values as an array of floats, which may be NaN or infinite; `what` names them in errors.

    None and masked values become NaN. Raises ValueError for complex numbers and text.
    """
    try:
        given = np.ma.asarray(values) if np.ma.isMaskedArray(values) else np.asarray(values)
        if given.dtype.kind not in "biufO":  # NumPy would drop half of a complex number
            raise TypeError(f"they are {given.dtype}")
        if given.dtype.kind == "O" and any(isinstance(each, str | bytes) for each in given.flat):
            raise TypeError("there is text among them")
        array = np.asarray(np.ma.filled(given.astype(np.float64), np.nan))
    # RuntimeError: a torch tensor that requires gradients
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{what}: not an array of numbers ({error})") from None
    huge = np.isfinite(array) & (np.abs(array) > LARGEST)
    if huge.any():
        raise ValueError(f"{what}: {array[huge][0]:g} is too large to draw (over {LARGEST:g})")
    return array


def finite(values: ArrayLike, what: str) -> Floats:
    """values as an array of floats; raises ValueError for NaN and infinity."""
    array = numbers(values, what)
    bad = ~np.isfinite(array)
    if bad.any():
        place = ", ".join(str(index) for index in np.argwhere(bad)[0])
        at = f" at position {place}" if place else ""
        raise ValueError(f"{what}: {array[bad][0]:g}{at} is not a finite number")
    return array


def number(value: float, what: str) -> float:
    """value as one finite float; raises ValueError for anything else."""
    array = finite(value, what)
    if array.ndim:
        raise ValueError(f"{what}: one number is needed, got an array of shape {array.shape}")
    return float(array)


def half_width(interval: float | None, what: str) -> float | None:
    """The half-width of an interval, checked to be finite and not negative; None stays None."""
    if interval is None:
        return None
    half = number(interval, what)
    if half < 0:
        raise ValueError(f"{what}: a half-width can't be negative, got {half:g}")
    return half


def not_empty(values: Mapping[str, object], what: str) -> None:
    """Raise ValueError for a mapping without entries."""
    if not values:
        raise ValueError(f"there is no {what} to draw")
