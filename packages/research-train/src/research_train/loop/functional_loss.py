"""A loss as a function of the model's tensors, for torch.func."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from research_train.errors import RunError
from research_train.loop.loss_parts import Loss, mean_and_weight
from research_train.state.random_state import RandomState

Tensors = dict[str, Tensor]
# A loss, and beside it in tensors alone: its weight or nothing, and the buffers afterwards.
Scores = tuple[Tensor, tuple[tuple[Tensor, ...], Tensors]]


class FunctionalLoss(nn.Module):
    """A loss function and its model as one module, so that the model's tensors can be given."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], Loss]):
        super().__init__()
        self.model = model
        self._loss = loss

    def call(self, tensors: Tensors, batch: Any) -> Scores:
        """The loss of a batch with these tensors in the model."""
        return functional_call(
            self, {f"model.{name}": tensor for name, tensor in tensors.items()}, (batch,)
        )

    def forward(self, batch: Any) -> Scores:
        """The loss of a batch with the model's own tensors."""
        mean, weight = mean_and_weight(self._loss(self.model, batch))
        weights = () if weight is None else (torch.as_tensor(weight),)
        return mean, (weights, dict(self.model.named_buffers()))

    def reached(self, batch: Any) -> tuple[set[str], float]:
        """Names of the parameters that the loss has a gradient for, and the seconds it takes.

        Changes nothing. Raises RunError if there are none, or if a gradient can't be compiled.
        """
        trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        before = RandomState.capture()
        for _ in range(2):  # the second shows how long it takes
            began = time.perf_counter()
            buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
            loss, _ = self.call(buffers, batch)
            before.restore()
            if not loss.requires_grad:
                raise RunError(
                    "the loss depends on no parameter of the model, so nothing can be learned"
                )
            gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
            seconds = time.perf_counter() - began
        reached = dict(zip(trained, gradients, strict=True))
        for name, gradient in reached.items():
            if gradient is not None and (gradient.is_sparse or gradient.is_complex()):
                kind = "sparse" if gradient.is_sparse else "complex"
                raise RunError(
                    f"compile=step: the gradient of {name} is {kind}, which can't be compiled. "
                    "Leave compile out."
                )
        return {name for name, gradient in reached.items() if gradient is not None}, seconds
