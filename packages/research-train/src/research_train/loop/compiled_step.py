"""Compile gradients and update into one function, for `compile=step`."""

import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from research_data.batches.source import BatchSource
from research_data.progress import ProgressLine
from research_data.shown import say
from torch import Tensor, nn
from torch.func import grad_and_value
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from research_train.errors import ConfigError, RunError
from research_train.experiment.config import TrainConfig
from research_train.loop.compiler import prepare_compiler
from research_train.loop.functional_loss import FunctionalLoss, Scores, Tensors
from research_train.loop.functional_updates import (
    States,
    functional_update,
    own_states,
    refuse_other_optimizers,
)
from research_train.loop.loss_parts import Loss
from research_train.processes.world import World

REFUSED = "compile=step can't be used with {}. Use compile=model, or leave compile out."
WATCHED = 10  # steps after the first, to see whether compiling pays


@dataclass
class _Changed:
    """The tensors that a step reads and changes in place, by their names in the model."""

    learned: Tensors  # parameters that the loss reaches and the optimizer has
    buffers: Tensors
    states: list[States]  # of the optimizer, for each of its groups
    others: Tensors  # parameters that stay as they are, for the averages
    averages: Tensors
    averaged: Tensor | None  # the number of updates in the averages


class CompiledStep:
    """One step as a compiled function: loss, gradients, clipping, update and average.

    It changes weights, optimizer state, buffers and averages in place, so a checkpoint holds the
    same as without it. options: of torch.compile. norm: of the last step's gradients before
    clipping, a scalar. over: what the last loss is a mean over, if the loss function says so.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Callable[[nn.Module, Any], Loss],
        clip_norm: float | None,
        ema: AveragedModel | None,
        ema_decay: float | None,
        options: dict[str, Any],
    ):
        self.norm: Tensor | None = None
        self.over: Tensor | None = None
        self._model = model
        self._loss = FunctionalLoss(model, loss)
        self._optimizer = optimizer
        self._update = functional_update(optimizer)
        self._clip_norm = clip_norm
        self._ema, self._ema_decay = ema, ema_decay
        torch.compiler.reset()  # torch counts what it compiled for all trainings of a process
        self._compiled = torch.compile(self._step, fullgraph=True, dynamic=False, options=options)
        self._changed: _Changed | None = None
        self._groups: list[tuple[dict[str, Any], list[str]]] = []  # with the learned names of each
        self._rates = torch.zeros(0)  # float64[groups]
        self._parameters: list[nn.Parameter] = []
        self._trainable: list[bool] = []
        # Seconds: an eager loss and its gradients, the first step, when that was done.
        self._eager = self._compiling = self._ready = 0.0
        self._steps = self._watched = 0

    def begin(self, batches: BatchSource[Any], steps: int) -> None:
        """Prepare for a phase of so many steps. Raises RunError for what can't be compiled."""
        self._changed = None  # a resume gives the optimizer other tensors
        self._steps = steps
        if not batches.drop_last and (rest := batches.examples % batches.batch_size):
            raise RunError(
                f"compile=step takes batches of one size, but the last of each epoch has {rest} "
                f"examples, the others {batches.batch_size}. Give the batches drop_last=True, "
                "choose a batch_size that divides the number of examples, or leave compile out."
            )

    def __call__(self, batch: Any, quiet: bool) -> Tensor:
        """Do a step; returns its loss. quiet: say nothing of compiling.

        Raises RunError if it can't be compiled.
        """
        if self._changed is None:
            return self._first(batch, quiet)
        if self._watched < WATCHED:
            self._watched += 1
            if self._watched == WATCHED and not quiet:
                self._say_whether_it_pays()
        return self._stepped(batch, self._changed)

    def _first(self, batch: Any, quiet: bool) -> Tensor:
        line = ProgressLine(quiet)
        line.show("compiling the step")
        began = time.perf_counter()
        try:
            self._changed = self._find_changed(batch)
            loss = self._stepped(batch, self._changed)
        finally:
            line.clear()
        self._ready, self._watched = time.perf_counter(), 0
        self._compiling = self._ready - began
        return loss

    def _say_whether_it_pays(self) -> None:
        each = (time.perf_counter() - self._ready) / (WATCHED - 1)
        saved = self._eager - each
        if saved * self._steps < self._compiling:
            needed = f"after {self._compiling / saved:,.0f} steps" if saved > 0 else "never"
            say(
                f"note: compiling the step took {self._compiling:.0f} s, which would pay {needed}; "
                f"these are {self._steps:,}. compile=no needs none of it, with other last bits."
            )

    def _stepped(self, batch: Any, changed: _Changed) -> Tensor:
        if [p.requires_grad for p in self._parameters] != self._trainable:
            raise RunError(
                "compile=step: parameters were frozen or unfrozen in the middle of a fit. Do it "
                "between two fits, or leave compile out."
            )
        for (group, _), rate in zip(self._groups, self._rates.unbind(), strict=True):
            rate.fill_(group["lr"])
        try:
            with torch.no_grad():
                loss, self.norm, self.over = self._compiled(batch, changed, self._rates)
        except torch._dynamo.exc.FailOnRecompileLimitHit as error:
            raise RunError(
                "compile=step: the step was compiled again for many batches, because their shapes "
                "or a value that the loss depends on differ. Pad batches to one shape, or leave "
                "compile out."
            ) from error
        except torch._dynamo.exc.Unsupported as error:
            raise RunError(_graph_break(error)) from error
        return loss

    def _step(
        self, batch: Any, changed: _Changed, rates: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What is compiled: (loss, norm of the gradients, weight of the loss)."""

        def scored(learned: Tensors) -> Scores:
            # The function of a gradient must not change tensors from outside it.
            buffers = {name: buffer.clone() for name, buffer in changed.buffers.items()}
            return self._loss.call(learned | buffers, batch)

        gradients, (loss, (weights, buffers)) = grad_and_value(scored, has_aux=True)(
            changed.learned
        )
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients.values()]
        norm = torch.linalg.vector_norm(torch.stack(norms))  # get_total_norm can't be compiled
        if self._clip_norm is not None:
            factor = (self._clip_norm / (norm + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_ does
            gradients = {name: gradient * factor for name, gradient in gradients.items()}
        groups = zip(self._groups, changed.states, rates.unbind(), strict=True)
        for (group, names), states, rate in groups:
            parameters = [changed.learned[name] for name in names]
            self._update(group, parameters, [gradients[name] for name in names], states, rate)
        for name, buffer in changed.buffers.items():
            buffer.copy_(buffers[name])
        if self._ema_decay is not None:
            self._average(changed)
        return loss, norm, weights[0] if weights else None

    def _average(self, changed: _Changed) -> None:
        """Update the averages as averaging.py does."""
        assert changed.averaged is not None and self._ema_decay is not None
        first = changed.averaged == 0
        values = changed.learned | changed.others | changed.buffers
        for name, average in changed.averages.items():
            value = values[name]
            if average.is_floating_point():
                moved = torch.lerp(average, value, 1 - self._ema_decay)
                average.copy_(torch.where(first, value, moved))
            else:
                average.copy_(value)
        changed.averaged.add_(1)

    def _find_changed(self, batch: Any) -> _Changed:
        """Find what a step changes, from one loss that is computed without it."""
        model = self._model
        names, self._eager = self._loss.reached(batch)
        named = {name: p for name, p in model.named_parameters() if name in names}
        by_id = {id(parameter): name for name, parameter in named.items()}
        self._groups, states = [], []
        for group in self._optimizer.param_groups:
            own = [p for p in group["params"] if id(p) in by_id]
            self._groups.append((group, [by_id[id(p)] for p in own]))
            states.append(own_states(self._optimizer, group, own))
        of_optimizer = {name for _, names in self._groups for name in names}
        learned: Tensors = {name: p for name, p in named.items() if name in of_optimizer}
        buffers = dict(model.named_buffers())
        others: Tensors = {n: p for n, p in model.named_parameters() if n not in learned}
        averages: Tensors = {}
        if self._ema is not None:
            kept = self._ema.module
            averages = dict(kept.named_parameters()) | dict(kept.named_buffers())
        # In float64, as the rates of an uncompiled update are. In one tensor: of each of a scalar's
        # own, torch's compiler makes a symbol that nothing uses, and then traces the step again.
        self._rates = torch.zeros(len(self._groups), dtype=torch.float64)
        self._parameters = list(model.parameters())
        self._trainable = [p.requires_grad for p in self._parameters]
        averaged = self._ema.n_averaged if self._ema is not None else None
        return _Changed(learned, buffers, states, others, averages, averaged)


def compiled_step(
    config: TrainConfig,
    model: nn.Module,
    optimizers: list[Optimizer],
    loss: Callable[[nn.Module, Any], Loss],
    device: torch.device,
    world: World,
    *,
    own_step: bool,
    clip_norm: float | None,
    ema: AveragedModel | None,
    ema_decay: float | None,
) -> CompiledStep | None:
    """The compiled step of a training that has `compile=step`, else None.

    Raises RunError for a training whose step can't be compiled.
    """
    if config.compile != "step":
        return None
    refuse_config(config, world)
    outside = {id(p) for each in optimizers for g in each.param_groups for p in g["params"]}
    outside -= {id(p) for p in model.parameters()}
    recurrent = [
        f"{type(module).__name__} at {name or 'the top of the model'}"
        for name, module in model.named_modules()
        if isinstance(module, nn.RNNBase)
    ]
    refused = {
        "a step of the paper's own (step=)": own_step,
        f"{len(optimizers)} optimizers": len(optimizers) != 1,
        f"an optimizer with {len(outside)} parameters that are not in the model": bool(outside),
        # torch's compiler leaves them out of every graph; compiled, a GRU is slower than without.
        f"a recurrent layer ({', '.join(recurrent)})": bool(recurrent),
    }
    if reasons := [reason for reason, is_so in refused.items() if is_so]:
        raise RunError(REFUSED.format(", ".join(reasons)))
    refuse_other_optimizers(optimizers[0])
    options = prepare_compiler(device, "step")
    return CompiledStep(model, optimizers[0], loss, clip_norm, ema, ema_decay, options)


def refuse_config(config: TrainConfig, world: World) -> None:
    """Raise ConfigError if the config alone shows that its `compile=step` can't be honoured."""
    refused = {
        f"accumulate={config.accumulate}": config.accumulate > 1,
        f"precision={config.precision}": config.precision != "float32",
        f"{world.size} processes": world.size > 1,
    }
    reasons = [reason for reason, is_so in refused.items() if is_so]
    if config.compile == "step" and reasons:
        raise ConfigError(REFUSED.format(", ".join(reasons)))


def _graph_break(error: BaseException) -> str:
    # Where the compiler has tried functions around the line again, the line is in the first error.
    while (earlier := error.__cause__ or error.__context__) is not None:
        error = earlier
    stack = list(getattr(error, "real_stack", None) or [])
    libraries = tuple(map(sysconfig.get_path, ("purelib", "platlib", "stdlib")))
    own = [frame for frame in stack if not frame.filename.startswith(libraries)] or stack
    where = f" at {own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return (
        f"compile=step: torch's compiler can't follow the loss{where} ({reason}). Change that "
        "line, or leave compile out."
    )
