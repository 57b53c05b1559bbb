"""The training loop."""

import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Generic, TypeVar

import torch
from research_data.batches import Batches
from torch import Tensor, nn
from torch.optim import Optimizer

from research_train.checkpoint import TrainState, load_checkpoint, save_checkpoint
from research_train.errors import NotFiniteError, RunError
from research_train.metrics import evaluation_mode
from research_train.progress import Progress
from research_train.random_state import RandomState
from research_train.record import Metrics
from research_train.run import Run

Batch = TypeVar("Batch", bound=tuple[Tensor, ...])


class Trainer(Generic[Batch]):
    """Trains a model for the steps its run's config says, and records what happens.

    loss: (model, batch) -> scalar loss. The model is moved to the run's device.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Optimizer,
        loss: Callable[[nn.Module, Batch], Tensor],
    ):
        self.run = run
        self.config = run.config
        self.device = run.device
        self.model = model.to(self.device)
        self.optimizer = optimizer
        self.loss = loss
        self.step = 0
        self._losses: list[Tensor] = []  # since the last line of metrics, still on the device
        self._logged_at = (0, time.perf_counter())
        self._examples = 0  # since then

    def fit(self, batches: Batches[Batch], evaluate: Callable[[], Metrics] | None = None) -> None:
        """Train from where the run stands (its last checkpoint, if any) to `config.steps`.

        evaluate: called every `evaluate_every` steps, in evaluation mode; its metrics are logged.
        Raises NotFiniteError at the first step whose loss is NaN or infinite, Interrupted when a
        signal came, with a checkpoint written.
        """
        config, run = self.config, self.run
        batches.to(self.device)
        self._restore(batches)
        self._logged_at = (self.step, time.perf_counter())
        self.model.train()
        with (
            closing(Progress(config.steps, self.step, run.quiet)) as progress,
            run.stop.deferred(),
        ):
            for batch in self._remaining(batches):
                self._losses.append(self.train_step(batch))
                self._examples += len(batch[0])
                self.step += 1
                last = self.step == config.steps
                if last or self.step % config.log_every == 0:
                    progress.note(self._log_training())
                if evaluate is not None and (last or self.step % config.evaluate_every == 0):
                    run.log(self.step, self._evaluated(evaluate))
                stopping = run.stop.signal  # looked at once: none slips in after the checkpoint
                if last or stopping or self.step % config.checkpoint_every == 0:
                    self._save_checkpoint(batches)
                progress.update(self.step)
                if stopping and not last:
                    run.stop.raise_interrupted()

    def train_step(self, batch: Batch) -> Tensor:
        """One weight update; returns the loss, a detached scalar on the device."""
        with self._autocast():
            loss = self.loss(self.model, batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def _evaluated(self, evaluate: Callable[[], Metrics]) -> Metrics:
        """The evaluation's metrics. What it draws at random changes nothing in the training."""
        random = RandomState.capture()
        with evaluation_mode(self.model):
            metrics = evaluate()
        random.restore()
        return metrics

    def _remaining(self, batches: Batches[Batch]) -> Iterator[Batch]:
        while self.step < self.config.steps:
            for batch in batches:
                yield batch
                if self.step >= self.config.steps:
                    return

    def _autocast(self) -> AbstractContextManager[object]:
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def _log_training(self) -> str:
        """Log the mean loss and the speed since the last line; returns the loss for display."""
        losses = self._checked_losses()
        if self.step % self.config.log_every == 0:  # the last line may come early: a longer run
            self._losses.clear()  # goes on with what it had gathered
        step, then = self._logged_at
        now = time.perf_counter()
        metrics = {
            "train/loss": sum(losses) / len(losses),
            "speed/steps_per_second": (self.step - step) / (now - then),
            "speed/examples_per_second": self._examples / (now - then),
            "memory/peak_bytes": self._peak_memory(),
        }
        self._logged_at, self._examples = (self.step, now), 0
        self.run.log(self.step, metrics)
        return f"loss {metrics['train/loss']:.4g}"

    def _checked_losses(self) -> list[float]:
        """The losses since the last line of metrics. The one place that waits for the device."""
        losses: list[float] = torch.stack(self._losses).tolist() if self._losses else []
        for index, loss in enumerate(losses):
            if loss - loss != 0:  # NaN or infinite
                step = self.step - len(losses) + index + 1
                raise NotFiniteError(
                    f"the loss is {loss} at step {step}. A lower learning rate, or a look at the "
                    "data of that step, is where to begin. No checkpoint was written since."
                )
        return losses

    def _peak_memory(self) -> float:
        """Bytes: of the GPU's memory where one is used, else of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def _save_checkpoint(self, batches: Batches[Batch]) -> None:
        folder = self.run.checkpoint_folder(self.step)
        if folder.exists():
            return
        state = TrainState(
            step=self.step,
            data=batches.state_dict(),
            random=RandomState.capture(),
            losses=self._checked_losses(),
        )
        save_checkpoint(folder, self.model, self.optimizer, state)
        for old in self.run.checkpoints()[: -self.config.keep_checkpoints]:
            shutil.rmtree(old)

    def _restore(self, batches: Batches[Batch]) -> None:
        checkpoint = self.run.resume_from
        if checkpoint is None:
            return
        state = load_checkpoint(checkpoint, self.model, self.optimizer)
        if state.data is None:
            raise RunError(f"{checkpoint}: holds no position in the data")
        try:
            batches.load_state_dict(state.data)
        except ValueError as error:
            raise RunError(f"{checkpoint}: {error}") from error
        self.step = state.step
        self._losses = [torch.tensor(loss, device=self.device) for loss in state.losses]
        state.random.restore()
