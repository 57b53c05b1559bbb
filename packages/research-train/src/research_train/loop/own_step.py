"""Check the result of a paper's own `step=`, and average its gradients over processes.

Which of the trainer's methods such a step calls shows which config keys it respects. This is
checked before it first changes a weight, so before anything is recorded, and at every update.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import Optimizer

from research_train.errors import RunError
from research_train.experiment.config import TrainConfig
from research_train.processes.world import World


class Training(Protocol):
    """The attributes of a Trainer that its own step is checked against."""

    config: TrainConfig
    model: nn.Module
    clip_norm: float | None
    ddp: dict[str, Any]
    world: World
    uneven: bool
    step: int


class OwnStep:
    """A step of the paper's own, in place of `Trainer.train_step`.

    used: what it has called of the trainer in the current step (loss, backward, update, autocast,
    scaler), and `updating` while `update` runs.
    """

    def __init__(self, step: Callable[[Any, Any], Tensor]):
        self.used: set[str] = set()
        self._step = step
        self._first = True

    @contextmanager
    def attached(self, trainer: Training, optimizers: Iterable[Optimizer]) -> Iterator[None]:
        """In this block the updates of these optimizers are checked, and gradients averaged."""
        optimizers = list(optimizers)
        self._first = True

        def before_update(optimizer: Optimizer, arguments: Any, options: Any) -> None:
            if len(arguments) < 2 and not options:  # else a closure computes the gradients later
                self._refuse_what_it_ignores(trainer)

        with ExitStack() as stack:
            for optimizer in optimizers:
                stack.callback(optimizer.register_step_pre_hook(before_update).remove)
            if trainer.world.size > 1:
                of_optimizers = [
                    p for each in optimizers for group in each.param_groups for p in group["params"]
                ]
                unique = {id(p): p for p in [*trainer.model.parameters(), *of_optimizers]}
                parameters = list(unique.values())
                _broadcast([*parameters, *trainer.model.buffers()])
                stack.enter_context(averaged_gradients(parameters, trainer.world))
            yield

    def __call__(self, trainer: Training, batch: Any) -> Tensor:
        """Do one step; returns its loss. Raises RunError if it bypasses a config key."""
        self.used.clear()
        if trainer.world.size > 1 and trainer.ddp.get("broadcast_buffers", True):
            _broadcast(list(trainer.model.buffers()))
        if not self._first:
            return self._loss_of(trainer, batch)
        before = [p._version for p in trainer.model.parameters()]
        loss = self._loss_of(trainer, batch)
        # Weights may have been written by hand, without an optimizer.
        if not self._updated_by_trainer and before != [
            p._version for p in trainer.model.parameters()
        ]:
            self._refuse_what_it_ignores(trainer)
        self._first = False
        return loss

    @property
    def _updated_by_trainer(self) -> bool:
        return "update" in self.used

    def _loss_of(self, trainer: Training, batch: Any) -> Tensor:
        loss = self._step(trainer, batch)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            kind = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise RunError(f"step= must return the loss, a scalar tensor: it returned {kind}")
        return loss.detach().reshape(())

    def _refuse_what_it_ignores(self, trainer: Training) -> None:
        config, used = trainer.config, self.used
        computed = bool(used & {"loss", "backward"})
        scaled = "scaler" in used or ("updating" in used and "backward" in used)
        ignored = {
            f"accumulate={config.accumulate}": config.accumulate > 1 and "backward" not in used,
            f"precision={config.precision}": {
                "float32": False,
                "bfloat16": not computed and "autocast" not in used,
                "float16": not scaled or not (computed or "autocast" in used),
            }[config.precision],
            "compile=model": config.compile == "model" and not computed,
            f"clip_norm={trainer.clip_norm}": trainer.clip_norm is not None
            and "updating" not in used,
            f"parts of a batch that differ in size on {trainer.world.size} processes": (
                trainer.uneven and not computed
            ),
        }
        if keys := [key for key, is_ignored in ignored.items() if is_ignored]:
            raise RunError(
                f"step= is about to change weights at step {trainer.step + 1}, but bypasses "
                f"{', '.join(keys)}. `loss = trainer.backward(batch); trainer.update()` respects "
                "every key; trainer.loss(trainer.model, batch) respects precision, compile and "
                "part sizes; trainer.autocast() and trainer.scaler respect precision. Use these, "
                "or leave the key out (for a short last batch, drop_last=True)."
            )


def _broadcast(tensors: Iterable[Tensor]) -> None:
    """Copy the first process's values to every process."""
    for tensor in tensors:
        dist.broadcast(tensor.detach(), 0)


@contextmanager
def averaged_gradients(parameters: list[nn.Parameter], world: World) -> Iterator[None]:
    """In this block every backward pass averages its gradients over the processes.

    A parameter may get a gradient on some processes only. All processes must do the same number of
    passes.
    """
    reached: set[int] = set()

    def average() -> None:
        flags = torch.zeros(len(parameters), dtype=torch.int32)
        flags[list(reached)] = 1
        reached.clear()
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        chosen = [parameters[index] for index in flags.nonzero().flatten().tolist()]
        with torch.no_grad():
            for alike in _by_type(chosen):
                gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in alike]
                if any(gradient.is_sparse for gradient in gradients):
                    raise RunError(
                        "sparse gradients can't be averaged over processes here: use one process, "
                        "or a layer without sparse=True"
                    )
                flat = torch.cat([gradient.flatten() for gradient in gradients])
                dist.all_reduce(flat)
                flat /= world.size
                sizes = [gradient.numel() for gradient in gradients]
                for parameter, mean in zip(alike, flat.split(sizes), strict=True):
                    if parameter.grad is None:
                        parameter.grad = mean.view_as(parameter).clone()
                    else:
                        parameter.grad.copy_(mean.view_as(parameter))

    def arrived(index: int) -> None:
        if not reached:  # the first of this pass: average all at its end
            torch.autograd.Variable._execution_engine.queue_callback(average)
        reached.add(index)

    with ExitStack() as stack:
        for index, parameter in enumerate(parameters):
            if parameter.is_leaf and (parameter.is_floating_point() or parameter.is_complex()):
                learns = parameter.requires_grad
                parameter.requires_grad_(True)  # a frozen one may be unfrozen later
                hook = parameter.register_post_accumulate_grad_hook(
                    lambda _, index=index: arrived(index)
                )
                parameter.requires_grad_(learns)
                stack.callback(hook.remove)
        yield


def _by_type(parameters: Iterable[nn.Parameter]) -> list[list[nn.Parameter]]:
    alike: dict[tuple[torch.dtype, torch.device], list[nn.Parameter]] = {}
    for parameter in parameters:
        alike.setdefault((parameter.dtype, parameter.device), []).append(parameter)
    return list(alike.values())
