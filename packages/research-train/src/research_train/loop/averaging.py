"""An exponential moving average of a model's weights."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from research_train.errors import RunError

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged_model(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of the model that follows it by `update_parameters(model)`.

    Floating-point parameters and buffers become decay * average + (1 - decay) * value; integers and
    truth values (counts, masks) are copied, as there is no average of them. The first update copies
    all. decay: from 0 to 1, else RunError.
    """
    if not 0 <= decay <= 1:
        raise RunError(f"ema_decay = {decay!r} is not from 0 to 1")

    @torch.no_grad()
    def update(averages: Tensors, values: Tensors, _: object) -> None:
        # All of one type: torch hands them over by device and type.
        if averages[0].is_floating_point() or averages[0].is_complex():
            torch._foreach_lerp_(averages, values, 1 - decay)
            return
        for average, value in zip(averages, values, strict=True):
            average.copy_(value)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
