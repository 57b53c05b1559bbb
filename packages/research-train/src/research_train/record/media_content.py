"""Turn pixels, figures and values into what the files of media/ hold."""

import json
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from research_train.errors import MetricError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 64
CHANNELS = 1, 3, 4  # grey, RGB, RGB with opacity


def encode_image(array: object) -> bytes:
    """An array or tensor of pixels as a PNG; equal pixels give equal bytes.

    array: (height, width), (height, width, channels) or (channels, height, width), with 1, 3 or 4
    channels; of a tensor that could be either, the channels are first, else last. Whole numbers
    from 0 to 255, or others from 0 to 1, beyond which they are cut off. Raises MetricError for any
    other.
    """
    from PIL import Image  # only needed here

    pixels = _pixels(array)
    picture = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(picture, "PNG")
    return picture.getvalue()


def write_figure(figure: "Figure", file: Path) -> None:
    """Write a matplotlib figure as a PNG. Raises MetricError for anything else, OSError."""
    if not hasattr(figure, "savefig"):
        kind = type(figure).__name__
        raise MetricError(f"log_figure: a matplotlib Figure is needed, got {kind}")
    from research_viz import save_figure  # slow, and only needed here

    save_figure(figure, file.with_suffix(""), ("png",))


def encode_histogram(values: object) -> bytes:
    """How often values lie in each of 64 bins of equal width, as JSON.

    values: an array or tensor of any shape, or numbers. Those that aren't finite are counted as
    `not_finite`. Raises MetricError for no numbers, or none that is finite.
    """
    numbers = _array(values, "log_histogram").ravel()
    if numbers.dtype.kind not in "bifu":
        raise MetricError(f"log_histogram: numbers are needed, got {numbers.dtype}")
    numbers = numbers.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if not finite.size:
        raise MetricError(f"log_histogram: none of {numbers.size} values is a finite number")
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            counts, edges = np.histogram(finite, BINS)
        except ValueError as error:
            raise MetricError(f"log_histogram: {error}") from error
    content = {
        "counts": counts.tolist(),
        "edges": edges.tolist(),
        "not_finite": numbers.size - finite.size,
    }
    return json.dumps(content).encode() + b"\n"


def _pixels(array: object) -> NDArray[np.uint8]:
    """(height, width, channels), from 0 to 255."""
    given = _array(array, "log_image")
    pixels = given[..., None] if given.ndim == 2 else given
    in_planes = given.ndim == 3 and given.shape[0] in CHANNELS
    if in_planes and (isinstance(array, torch.Tensor) or given.shape[2] not in CHANNELS):
        pixels = given.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS or not pixels.size:
        raise MetricError(
            f"log_image: got an array of shape {given.shape}; it must be (height, width), "
            "(height, width, channels) or (channels, height, width), with 1, 3 or 4 channels"
        )
    if pixels.dtype.kind in "iu":
        if pixels.min() < 0 or pixels.max() > 255:
            raise MetricError(
                f"log_image: whole numbers from 0 to 255 are needed, got {pixels.min()} to "
                f"{pixels.max()}"
            )
        return pixels.astype(np.uint8)
    if pixels.dtype.kind not in "bf":
        raise MetricError(f"log_image: numbers are needed, got {pixels.dtype}")
    known = np.nan_to_num(pixels.astype(np.float64), posinf=1.0, neginf=0.0)
    return np.rint(known.clip(0, 1) * 255).astype(np.uint8)


def _array(values: object, what: str) -> NDArray[np.generic]:
    """Values as a NumPy array, tensors without their graph and from any device."""
    try:
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu()
            values = values.float() if values.dtype == torch.bfloat16 else values
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise MetricError(f"{what}: not an array of numbers ({error})") from error
