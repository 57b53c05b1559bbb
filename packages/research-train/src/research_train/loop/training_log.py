"""Log a training's metrics, with the mean loss since the last line."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from research_train.errors import NotFiniteError, RunError
from research_train.loop.loss_parts import IgnoredTargets
from research_train.loop.matrix_product import matrix_product_rate
from research_train.processes.messages import agree, mean
from research_train.record.run import Run


class TrainingLog:
    """Gathers losses on the device, and waits for it only when a line or checkpoint needs them.

    ignored: has checked the batches that the losses come from. flops: floating-point operations of
    one step, to log how much of this machine's matrix products they reach. saved: gives the last
    checkpoint.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        device: torch.device,
        ignored: IgnoredTargets,
        flops: float | None = None,
        saved: Callable[[], Path | None] = lambda: None,
    ):
        self._saved = saved
        self._flops, self._rate = flops, 0.0
        self._ignored = ignored
        self._run = run
        self._model = model
        self._device = device
        self._losses: list[Tensor] = []  # since the last line of metrics
        self._weights: list[Tensor | float] = []  # what each of them is a mean over
        self._logged_at = (0, time.perf_counter())

    def begin(self, losses: Sequence[float] = (), weights: Sequence[float] = ()) -> None:
        """Forget what was gathered, and begin with these losses."""
        self._losses = [torch.tensor(loss, device=self._device) for loss in losses]
        self._weights = list(weights)

    def start_clock(self, step: int) -> None:
        """Measure the speed of the next line from here."""
        if self._flops and not self._rate:
            self._rate = matrix_product_rate(self._device)
        self._logged_at = (step, time.perf_counter())

    def add(self, loss: Tensor, weight: Tensor | float) -> None:
        """Gather the loss of a step; weight: how much it is a mean over."""
        self._losses.append(loss)
        self._weights.append(weight)

    def write(self, step: int, learning_rate: float, norm: Tensor | None) -> str:
        """Write the line of a step; returns the loss for display."""
        losses, weights = self.checked(step)
        # The last line may come early; if the run is made longer, it continues with these losses.
        if step % self._run.config.log_every == 0:
            self._losses, self._weights = [], []
        before, then = self._logged_at
        now = time.perf_counter()
        metrics = {"train/loss": _weighted_mean(losses, weights)}
        if norm is not None:
            metrics["train/gradient_norm"] = norm.item()
        steps, batch_size = step - before, self._run.config.batch_size
        metrics |= {
            "train/learning_rate": learning_rate,
            "speed/steps_per_second": steps / (now - then),
            "speed/examples_per_second": steps * batch_size / (now - then),
            "memory/peak_bytes": peak_memory(self._device),
        }
        if self._flops:
            used = self._flops * steps / (now - then) / self._rate
            metrics["speed/model_flops_utilization"] = used
        self._logged_at = (step, now)
        self._run.log(step, metrics)
        return f"loss {metrics['train/loss']:.4g}"

    def checked(self, step: int) -> tuple[list[float], list[float]]:
        """The losses since the last line, and how much each is a mean over; waits for the device.

        Raises NotFiniteError for a loss that is NaN or infinite, RunError if the processes' weights
        differ, or if targets were ignored and the loss returned no weight.
        """
        world = self._run.world
        losses = mean(self._losses, world)
        weights = [float(weight) for weight in self._weights]
        for index, loss in enumerate(losses):
            if loss - loss != 0:  # NaN or infinite
                last = self._saved()
                before = f"the last one before it is {last.name}" if last else "nor before"
                raise NotFiniteError(
                    f"the loss is {loss} at step {step - len(losses) + index + 1}. No checkpoint "
                    f"was written since, {before}. Try a lower learning rate, or look at the data "
                    "of that step."
                )
        self._ignored.refuse()
        if world.size > 1 and not self._run.sharded:
            with torch.no_grad():
                sums = [p.double().sum().cpu() for p in self._model.parameters()]
            if sums and not agree(torch.stack(sums), world):
                raise RunError(
                    f"the {world.size} processes have different weights at step {step}: gradients "
                    "or weights were set by hand and not averaged. Nothing was saved since. Use "
                    "trainer.backward or loss.backward(), or one process."
                )
        return losses, weights


def peak_memory(device: torch.device) -> float:
    """Peak memory in bytes: of the GPU if one is used, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _weighted_mean(values: list[float], weights: list[float]) -> float:
    """The mean of values that are themselves means, weighted by how much each is over."""
    if len(set(weights)) == 1:  # the same bits as the plain mean
        return sum(values) / len(values)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
