"""Choose which parameters have weight decay, and use fused kernels where there are some."""

from typing import Any

import torch
from torch import nn


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for any optimizer: weights decay; biases and the gains of norms don't.

    A parameter of fewer than two dimensions doesn't decay (as in GPT-2's and BERT's recipes). Tied
    parameters count once. An empty group is left out.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in parameters if parameter.ndim >= 2]
    others = [parameter for parameter in parameters if parameter.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def fused(device: torch.device) -> dict[str, bool]:
    """Keyword arguments that make Adam, AdamW and SGD use one kernel where the device has it.

    torch.optim.AdamW(parameters, lr=3e-4, **fused(run.device)). The last bits differ from those of
    the default kernels.
    """
    return {"fused": True} if device.type in ("cuda", "cpu") else {}
