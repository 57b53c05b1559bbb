"""How large a model is: its parameters, and the operations that an example takes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.flop_counter import FlopCounterMode


def parameter_count(model: nn.Module) -> int:
    """How many numbers a model learns; a tied weight counts once, buffers don't."""
    return sum(parameter.numel() for parameter in model.parameters())


def flops(model: nn.Module, *inputs: Any, **named: Any) -> float:
    """Floating-point operations of one forward pass, for one example of the batch.

    inputs, named: what the model is called with; the first tensor's first dimension is the batch.
    Only shapes matter: the model runs on torch's meta device, whatever device it is on. Nothing is
    computed, no value and no random state changes, and no memory is taken.

        flops(ResNet.imagenet(50), torch.empty(1, 3, 224, 224))   # 8.2e9

    Counted by `torch.utils.flop_counter`: matrix products, convolutions and attention, a
    multiplication and an addition being two operations. All else counts as 0: sums and products by
    element, norms, softmax, FFTs; causal attention counts as the whole square. A step of training
    takes some three times as much, as backward has two products for each one of forward.

    Raises ValueError when there is no tensor with a batch dimension. A model can't be counted whose
    forward reads values (the lengths in a mask, for example) or tensors that are neither its
    parameters nor its buffers: torch then raises an error that names the meta device.
    """
    tensors = [each for each in tree_leaves((inputs, named)) if isinstance(each, Tensor)]
    if not tensors or not tensors[0].ndim or not len(tensors[0]):
        raise ValueError(
            "flops needs the model's inputs, the first a tensor with a batch dimension, got "
            f"{tuple(tensors[0].shape) if tensors else 'no tensor'}"
        )

    def to_meta(value: Any) -> Any:
        return value.to("meta") if isinstance(value, Tensor) else value

    inputs, named = tree_map(to_meta, (inputs, named))
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    # On a CPU the counter misses attention and LSTMs, whose kernels there it doesn't know.
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        torch.func.functional_call(model, tree_map(to_meta, state), inputs, named)
    return counter.get_total_flops() / len(tensors[0])
