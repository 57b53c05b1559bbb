"""An exponential moving average of a model's weights."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from research_train.errors import RunError

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model that averages its weights at each `update_parameters(model)`.

    Floating-point parameters and buffers become decay * average + (1 - decay) * value; integers and
    booleans (counts, masks) are copied, because they have no average. The first update copies
    everything. Raises RunError if decay is not between 0 and 1.
    """
    if not 0 <= decay <= 1:
        raise RunError(f"ema_decay = {decay!r} is not between 0 and 1")

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, _: object) -> None:
        # torch groups the tensors by device and dtype, so all of one call have the same dtype.
        if averages[0].is_floating_point() or averages[0].is_complex():
            torch._foreach_lerp_(averages, values, 1 - decay)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(value)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
