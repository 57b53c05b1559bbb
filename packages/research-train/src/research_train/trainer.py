"""The training loop."""

import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Generic, TypeVar

import torch
from research_data.batch_source import BatchSource
from research_data.errors import StorageError
from research_data.progress import say
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from research_train.averaging import averaged_model
from research_train.checkpoint import (
    TrainState,
    load_checkpoint,
    refuse_unstorable,
    view_snapshot,
)
from research_train.checkpoint_writer import CheckpointWriter
from research_train.distributed import gather, largest, mean, neighbours, share
from research_train.errors import Interrupted, NotFiniteError, OutOfMemoryError, RunError
from research_train.metrics import evaluation_mode
from research_train.optimizer_state import Optimizers
from research_train.progress import Progress
from research_train.random_state import RandomState, seed_everything
from research_train.record import Metrics
from research_train.run import Run
from research_train.schedules import Schedule
from research_train.training_state import TrainingState, placed, start_training_mode

Batch = TypeVar("Batch", bound=tuple[Tensor, ...])


class Trainer(Generic[Batch]):
    """Trains a model for the steps its run's config says, and records what happens.

    loss: (model, batch) -> scalar loss, a mean over the batch's examples. The model is moved to the
    run's device. schedule: step -> factor for every learning rate (schedules.py). clip_norm: the
    largest norm of all gradients together. ema_decay: of an exponential moving average of the
    parameters, kept in `ema` as a model. step: replaces `train_step`, for a training whose update
    is another: (trainer, batch) -> loss. optimizer: one, or several by name for such a step.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Optimizers,
        loss: Callable[[nn.Module, Batch], Tensor],
        *,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
        step: "Callable[[Trainer[Batch], Batch], Tensor] | None" = None,
    ):
        self.run = run
        self.config = run.config
        self.device = run.device
        self.model = placed(model, self.device)
        self.optimizer = optimizer
        self.loss = loss
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.ema = averaged_model(model, ema_decay) if ema_decay is not None else None
        self.step = 0
        self._update = step or Trainer.train_step
        # What the loss calls; `model` stays what is saved, under its own names.
        self._called = self.model
        self.world = run.world
        if self.world.size > 1:
            self._called = DistributedDataParallel(self.model)
        if self.config.compile:
            self._called = torch.compile(self._called)  # type: ignore[assignment]  # a module
        self._optimizers: list[Optimizer] = (
            list(optimizer.values()) if isinstance(optimizer, Mapping) else [optimizer]
        )
        self._rates = [group["lr"] for each in self._optimizers for group in each.param_groups]
        self._scaler = torch.amp.GradScaler(
            self.device.type, enabled=self.config.precision == "float16"
        )
        self._plain = (
            self.config.precision == "float32"
            and self.config.accumulate == 1
            and self.world.size == 1
        )
        self._weight = 1.0  # of this process's part of the batch, where there are several
        self._norm: Tensor | None = None  # of the gradients, of the step that is logged next
        self._losses: list[Tensor] = []  # since the last line of metrics, still on the device
        self._logged_at = (0, time.perf_counter())
        self._best: tuple[float, int] | None = None
        self._evaluations = 0  # since the best one
        self._writer = CheckpointWriter()

    def fit(
        self, batches: BatchSource[Batch], evaluate: Callable[[], Metrics] | None = None
    ) -> None:
        """Train from where the run stands (its last checkpoint, if any) to `config.steps`.

        evaluate: called every `evaluate_every` steps, in evaluation mode; its metrics are logged.
        Parts of the model that are in evaluation mode stay so, unless all of it is.
        Raises RunError or CheckpointError before the first step where something that moves can't be
        stored (training_state.py), NotFiniteError at the first step whose loss is NaN or infinite,
        OutOfMemoryError, StorageError when a checkpoint can't be written, Interrupted when a signal
        came, with a checkpoint written.
        """
        config, run = self.config, self.run
        steps, log_every = config.steps, config.log_every
        evaluate_every, checkpoint_every = config.evaluate_every, config.checkpoint_every
        try:
            batches.to(self.device).shard(self.world.rank, self.world.size)
        except ValueError as error:  # too few examples for so many processes
            raise RunError(str(error)) from error
        self._begin(batches, evaluate)
        self._restore(batches)
        self._logged_at = (self.step, time.perf_counter())
        with (
            closing(Progress(config.steps, self.step, run.quiet)) as progress,
            run.stop.deferred(),
            closing(self._writer),
            neighbours(self.world),
        ):
            for batch in self._remaining(batches):
                self._weight = batches.weight
                self._losses.append(self._stepped(batch))
                step = self.step = self.step + 1
                last, better = step == steps, False
                if last or step % log_every == 0:
                    progress.note(self._log_training())
                if evaluate is not None and (last or step % evaluate_every == 0):
                    better = self._evaluate(evaluate)
                    last = last or 0 < config.patience <= self._evaluations
                # Looked at once: none slips in after the checkpoint. All processes stop together.
                stopping = largest(run.stop.signal or 0, self.world)
                if last or stopping or better or step % checkpoint_every == 0:
                    self._save_checkpoint(batches, must=bool(last or stopping))
                progress.update(step)
                if stopping and not last:
                    raise Interrupted(stopping)
                if last:
                    return

    def train_step(self, batch: Batch) -> Tensor:
        """One weight update; returns the loss, a detached scalar on the device."""
        loss = self.backward(batch)
        self.update()
        return loss

    def backward(self, batch: Batch) -> Tensor:
        """Add the gradients of the batch's loss, in `accumulate` parts; returns the loss."""
        if self._plain:  # nothing between the loss and its gradient: a small model feels it
            loss = self.loss(self._called, batch)
            loss.backward()
            return loss.detach()
        total = torch.zeros((), device=self.device)
        # Gradients are averaged over processes: a larger part of the batch counts for more.
        size = -(-len(batch[0]) // self.config.accumulate)
        parts = zip(*(field.split(size) for field in batch), strict=True)
        for fields in parts:
            part = _like(batch, fields)
            with self._autocast():
                part_of_all = self._weight * len(fields[0]) / len(batch[0])
                loss = self.loss(self._called, part) * part_of_all
            self._scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def update(self) -> None:
        """Step every optimizer on the gradients there are, and clear them."""
        if self.schedule is not None:
            factor = self.schedule(self.step)
            groups = (group for each in self._optimizers for group in each.param_groups)
            for group, rate in zip(groups, self._rates, strict=True):
                group["lr"] = rate * factor
        step = self.step + 1
        logged = step % self.config.log_every == 0 or step == self.config.steps
        if self.clip_norm is not None or logged:
            for optimizer in self._optimizers:
                self._scaler.unscale_(optimizer)
            self._norm = self._clipped()
        for optimizer in self._optimizers:
            if self._plain:
                optimizer.step()
            else:
                self._scaler.step(optimizer)
            optimizer.zero_grad()
        if not self._plain:
            self._scaler.update()
        if self.ema is not None:
            self.ema.update_parameters(self.model)

    def _clipped(self) -> Tensor:
        """The norm of all gradients, which are then no longer than clip_norm."""
        if self.clip_norm is not None:
            return clip_grad_norm_(self.model.parameters(), self.clip_norm)
        return get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])

    def _stepped(self, batch: Batch) -> Tensor:
        try:
            return self._update(self, batch)
        except RuntimeError as error:  # torch.OutOfMemoryError, or the CPU's allocator's words
            if not isinstance(error, torch.OutOfMemoryError) and "alloc" not in str(error):
                raise
            raise OutOfMemoryError(
                f"out of memory at step {self.step + 1}: {self._peak_memory() / 1e9:.2f} GB at the "
                f"peak, batch_size {self.config.batch_size} in {self.config.accumulate} parts. Try "
                f"accumulate={self.config.accumulate * 2} (the update is the same), "
                "precision=bfloat16, or a smaller batch_size."
            ) from error

    def _evaluate(self, evaluate: Callable[[], Metrics]) -> bool:
        """Evaluate and log. What it draws at random changes nothing; returns: is it the best?"""
        random = RandomState.capture()
        with evaluation_mode(self.model):
            metrics = evaluate()
        random.restore()
        self.run.log(self.step, metrics)
        better = self._is_best(metrics)
        # Rank 0 decides: the others may have other statistics in their normalisations.
        better, self._evaluations, best = share([better, self._evaluations, self._best], self.world)
        self._best = (best[0], best[1]) if best else None
        return bool(better)

    def _is_best(self, metrics: Metrics) -> bool:
        kind, _, name = self.config.keep_best.partition(":")
        if not name:
            return False
        if name not in metrics:
            raise RunError(
                f"keep_best: no metric {name!r} was evaluated; there are {', '.join(metrics)}"
            )
        value = metrics[name] if kind == "max" else -metrics[name]
        if self._best is None or value > self._best[0]:
            self._best, self._evaluations = (value, self.step), 0
            return True
        self._evaluations += 1
        return False

    def _remaining(self, batches: BatchSource[Batch]) -> Iterator[Batch]:
        first = True
        while self.step < self.config.steps:
            for batch in batches:
                yield batch
                if first:  # now the optimizer has its state
                    self._try_to_save(batches)
                    first = False
                if self.step >= self.config.steps:
                    return

    def _autocast(self) -> AbstractContextManager[object]:
        if self.config.precision == "float32":
            return nullcontext()
        dtype = torch.bfloat16 if self.config.precision == "bfloat16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def _log_training(self) -> str:
        """Log what happened since the last line; returns the loss for display."""
        losses = self._checked_losses()
        if self.step % self.config.log_every == 0:  # the last line may come early: a longer run
            self._losses.clear()  # goes on with what it had gathered
        step, then = self._logged_at
        now = time.perf_counter()
        metrics = {"train/loss": sum(losses) / len(losses)}
        if self._norm is not None:
            metrics["train/gradient_norm"] = self._norm.item()
        metrics |= {
            "train/learning_rate": self._optimizers[0].param_groups[0]["lr"],
            "speed/steps_per_second": (self.step - step) / (now - then),
            "speed/examples_per_second": (self.step - step) * self.config.batch_size / (now - then),
            "memory/peak_bytes": self._peak_memory(),
        }
        self._logged_at = (self.step, now)
        self.run.log(self.step, metrics)
        return f"loss {metrics['train/loss']:.4g}"

    def _checked_losses(self) -> list[float]:
        """The losses since the last line of metrics. The one place that waits for the device."""
        losses = mean(self._losses, self.world)
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

    def _save_checkpoint(self, batches: BatchSource[Batch], must: bool) -> None:
        """Have a checkpoint written; wait for it where it must be there."""
        losses = self._checked_losses()
        random = RandomState.capture()
        ranks = gather(vars(random), self.world)[1:]
        if self.world.rank > 0:
            return
        folder = self.run.checkpoint_folder(self.step)
        self._wait_for_checkpoint(self.config.checkpoint_failure == "stop")  # the one before
        if not folder.exists():
            state = TrainState(
                step=self.step,
                data=batches.state_dict(),
                random=random,
                ranks=ranks,
                losses=losses,
                scaler=self._scaler.state_dict() or None,
                best=self._best,
                evaluations=self._evaluations,
                moving=self._moving.moved(),
            )
            snapshot = view_snapshot(self.model, self.optimizer, state, self.ema)
            best = self._best[1] if self._best else None
            self._writer.write(folder, snapshot, lambda: self._forget_checkpoints(best))
        if must:
            self._wait_for_checkpoint(raising=True)

    def _wait_for_checkpoint(self, raising: bool) -> None:
        try:
            self._writer.wait()
        except StorageError as error:
            if raising:
                raise
            say(f"warning: {error} Training goes on without that checkpoint.")

    def _forget_checkpoints(self, best: int | None) -> None:
        """Remove the checkpoints that nothing keeps: neither new, nor round, nor the best."""
        every = self.config.keep_every
        for folder in self.run.checkpoints()[: -self.config.keep_checkpoints]:
            step = int(folder.name.removeprefix("step-"))
            if step != best and not (every and step % every == 0):
                shutil.rmtree(folder)

    def _begin(self, batches: BatchSource[Batch], evaluate: Callable[[], Metrics] | None) -> None:
        """Set the model's modes, and see that all that will move can be stored."""
        for name in start_training_mode(self.model):
            if self.world.rank == 0:
                say(
                    f"note: {name or 'the model'} is in evaluation mode, has parameters to train, "
                    "and stays so; .train() before `fit` lets it drop out, and norms see batches"
                )
        self._moving = TrainingState(
            self.model,
            self.optimizer,
            self.ema,
            loss=self.loss,
            step=self._update,
            schedule=self.schedule,
            evaluate=evaluate,
        )
        self._try_to_save(batches)

    def _try_to_save(self, batches: BatchSource[Batch]) -> None:
        """A checkpoint without a disk: what it can't hold is found before the training is lost."""
        state = TrainState(data=batches.state_dict(), moving=self._moving.moved())
        refuse_unstorable(view_snapshot(self.model, self.optimizer, state, self.ema))

    def _restore(self, batches: BatchSource[Batch]) -> None:
        checkpoint = self.run.resume_from
        if checkpoint is None:
            if (start := self.run.init_weights()) is not None:
                load_checkpoint(start, self.model)
            if self.world.rank > 0:
                self._restore_rank(None)
            return
        state = load_checkpoint(checkpoint, self.model, self.optimizer, self.ema)
        if state.data is None:
            raise RunError(f"{checkpoint}: holds no position in the data")
        if self.run.checkpoint_folder(state.step).name != checkpoint.name:
            raise RunError(f"{checkpoint}: holds the state of step {state.step}")
        try:
            batches.load_state_dict(state.data)
        except ValueError as error:
            raise RunError(f"{checkpoint}: {error}") from error
        self._moving.put_back(state.moving)
        self.step = state.step
        self._losses = [torch.tensor(loss, device=self.device) for loss in state.losses]
        if state.scaler:
            self._scaler.load_state_dict(state.scaler)
        self._best = (state.best[0], state.best[1]) if state.best else None
        self._evaluations = state.evaluations
        state.random.restore()
        if self.world.rank > 0:
            self._restore_rank(state)

    def _restore_rank(self, state: TrainState | None) -> None:
        """The generators of this process: its own of before, or new ones of this step."""
        rank = self.world.rank
        if state and len(state.ranks) == self.world.size - 1:
            RandomState(**state.ranks[rank - 1]).restore()
        else:
            seed_everything(self.config.seed + 1_000_003 * rank + self.step)


def _like(batch: Batch, fields: tuple[Tensor, ...]) -> Batch:
    """Fields as a tuple of the batch's own type, named or not."""
    make = getattr(type(batch), "_make", type(batch))
    return make(fields)
