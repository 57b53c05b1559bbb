"""Compute a batch's gradients: in parts, in the run's precision, on several processes."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Generic, TypeVar

import torch
from research_data.batches.parts import count_examples, split_batch
from research_data.batches.source import BatchSource
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from research_train.errors import RunError
from research_train.experiment.config import TrainConfig
from research_train.loop.compiler import prepare_compiler
from research_train.loop.loss_parts import IgnoredTargets, Loss, mean_and_weight
from research_train.processes.messages import mean_over_ranks
from research_train.processes.world import World

Batch = TypeVar("Batch")


class Gradients(Generic[Batch]):
    """Accumulates the gradients of a model, and steps optimizers on them.

    model: as it is saved; the loss may be called with a compiled or parallel wrapper of it.
    parallel: options for torch's DistributedDataParallel; None to average no gradients, as for a
    model whose parameters are divided among the processes: it averages them by itself.
    over: how much the last loss is a mean over. ignored: finds targets that a mean leaves out.
    """

    def __init__(
        self,
        config: TrainConfig,
        model: nn.Module,
        loss: Callable[[nn.Module, Batch], Loss],
        device: torch.device,
        world: World,
        parallel: Mapping[str, Any] | None,
    ):
        self.over: Tensor | float = 1.0
        self.ignored = IgnoredTargets()
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self._config = config
        self._model = model
        self._called = model
        if world.size > 1 and parallel is not None:
            self._called = DistributedDataParallel(model, **parallel)
        if config.compile == "model":
            options = prepare_compiler(device, "model")
            self._called = torch.compile(self._called, options=options)  # type: ignore[assignment]
        self._loss = loss
        self._device = device
        self._world = world
        self._weight = 1.0  # of this process's part of the batch; 1 for a single process
        self._sharded = config.parallel == "fsdp" and world.size > 1
        self._plain = config.precision == "float32" and config.accumulate == 1 and world.size == 1

    def next_batch(self, batches: BatchSource[Batch]) -> None:
        """Note the weight of the batch that was handed out last."""
        self._weight, self.over = batches.weight, batches.count

    def autocast(self) -> AbstractContextManager[object]:
        """A block in which operations run in the run's precision."""
        if self._config.precision == "float32":
            return nullcontext()
        dtype = torch.bfloat16 if self._config.precision == "bfloat16" else torch.float16
        return torch.autocast(self._device.type, dtype=dtype)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, whose `backward()` gives this process's part of the gradients."""
        with self.autocast():
            mean, weight = mean_and_weight(
                self._loss(self._called if model is self._model else model, batch)
            )
        if self._world.size == 1:
            self.over = self.over if weight is None else weight
            return mean
        if weight is None:
            self.ignored.look_at(batch)
            return mean * self._weight
        whole = mean_over_ranks(float(weight), self._world)
        self.over = whole * self._world.size
        return mean * (float(weight) / whole if whole else 1.0)

    def backward(self, batch: Batch) -> Tensor:
        """Add the gradients of the batch's loss, in `accumulate` parts; returns the loss."""
        if not self._plain:
            return self._backward_in_parts(batch)
        loss = self._loss(self._called, batch)  # no wrapper: it would slow a small model
        if not isinstance(loss, Tensor) or loss.ndim:
            loss, weight = mean_and_weight(loss)
            self.over = self.over if weight is None else weight
        loss.backward()
        return loss.detach()

    def step(self, optimizers: Iterable[Optimizer]) -> None:
        """Step every optimizer on the accumulated gradients, and clear them."""
        for optimizer in optimizers:
            if self._plain:
                optimizer.step()
            else:
                self.scaler.step(optimizer)
            optimizer.zero_grad()
        if not self._plain:
            self.scaler.update()

    def clipped(self, optimizers: Iterable[Optimizer], largest: float | None) -> Tensor | None:
        """Unscale the gradients and clip their total norm to largest; returns the norm before that.

        Returns None if nothing is to be clipped and the norm can't be computed: only the log
        needs it then.
        """
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)
        if largest is not None:
            try:
                return _whole(clip_grad_norm_(self._model.parameters(), largest))
            except NotImplementedError as error:
                raise RunError(
                    f"clip_norm={largest}: the norm of these gradients can't be computed "
                    f"({error}). Leave clip_norm out, or use layers without sparse=True."
                ) from error
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        try:
            norm = get_total_norm([g.coalesce().values() if g.is_sparse else g for g in gradients])
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            return None
        return _whole(norm)

    def _backward_in_parts(self, batch: Batch) -> Tensor:
        total = torch.zeros((), device=self._device)
        parts, sizes = self._parts(batch)
        # A part's weight is known only after its forward pass. So gradients are divided by a total
        # weight that is estimated from the first part, and corrected at the end.
        foreseen, counted = 0.0, 0.0
        earlier: list[tuple[nn.Parameter, Tensor]] = []
        for part, size in zip(parts, sizes, strict=True):
            with self.autocast():
                loss, weight = mean_and_weight(self._loss(self._called, part))
            if weight is None:  # by its share of the batch: gradients are averaged over processes
                part_of_all = self._weight * size / sum(sizes)
            else:
                if not foreseen:
                    first = mean_over_ranks(float(weight), self._world)
                    foreseen = (first or 1.0) * len(parts)
                    earlier = self._set_aside()
                counted += float(weight)
                part_of_all = float(weight) / foreseen
            if not part_of_all and self._sharded:
                raise RunError(
                    "a process's part of the batch has nothing for the loss to count, which "
                    "parallel=fsdp can't work with: use larger batches, or parallel=ddp"
                )
            if not part_of_all:  # a mean over nothing is NaN, and so are its gradients
                loss, part_of_all = sum(p.sum() * 0 for p in self._model.parameters()), 1.0  # type: ignore[assignment]
            self.scaler.scale(loss * part_of_all).backward()
            total += loss.detach() * part_of_all
        if not foreseen:
            self.ignored.look_at(batch)
            return total
        whole = mean_over_ranks(counted, self._world)
        self.over = whole * self._world.size
        return total * self._put_right(foreseen / whole if whole else math.nan, earlier)

    def _parts(self, batch: Batch) -> tuple[list[Batch], list[int]]:
        """The batch in `accumulate` parts, and how many examples each has.

        A batch that isn't split may be of any type.
        """
        if self._config.accumulate == 1:
            return [batch], [1]
        try:
            parts = split_batch(batch, self._config.accumulate)
            return parts, [count_examples(part) for part in parts]
        except ValueError as error:
            raise RunError(
                f"accumulate={self._config.accumulate}: {error}. Leave accumulate out, or use "
                "batches that are tuples, lists or dicts of tensors with one entry per example."
            ) from error

    def _set_aside(self) -> list[tuple[nn.Parameter, Tensor]]:
        earlier = [(p, p.grad) for p in self._model.parameters() if p.grad is not None]
        for parameter, _ in earlier:
            parameter.grad = None
        return earlier

    def _put_right(self, factor: float, earlier: list[tuple[nn.Parameter, Tensor]]) -> float:
        """Multiply the gradients by factor and add the earlier ones; returns factor."""
        if factor != 1:
            for parameter in self._model.parameters():
                if parameter.grad is not None:
                    parameter.grad *= factor
        for parameter, gradient in earlier:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return factor


def _whole(norm: Tensor) -> Tensor:
    """The norm over all processes, of gradients that are divided among them."""
    full = getattr(norm, "full_tensor", None)
    return norm if full is None else full()
