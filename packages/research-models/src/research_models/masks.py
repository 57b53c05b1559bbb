"""Masks over the tokens of a batch: True is a real token, False is padding."""

import torch
from torch import Tensor


def check_mask(mask: Tensor | None, x: Tensor, past: int = 0) -> None:
    """Raise ValueError unless mask is None or a bool tensor of x's first two dimensions.

    x: (batch, length, ...). past: tokens before those of x that the mask has as well.
    """
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool (True is a real token), got {mask.dtype}")
    shape = (x.shape[0], past + x.shape[1])
    if mask.shape != shape:
        raise ValueError(
            f"mask has the shape {tuple(mask.shape)}, but batch and length are {shape}"
        )
