"""The training loop."""

import math
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import torch
from research_data.batches.parts import count_examples, split_batch
from research_data.batches.source import BatchSource
from research_data.errors import StorageError
from research_data.shown import say
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_, get_total_norm
from torch.optim import Optimizer

from research_train.errors import Interrupted, NotFiniteError, OutOfMemoryError, RunError
from research_train.loop.averaging import averaged_model
from research_train.loop.loss_parts import IgnoredTargets, Loss, mean_and_weight
from research_train.loop.metrics import evaluation_mode
from research_train.loop.own_step import OwnStep
from research_train.loop.progress import Progress
from research_train.loop.schedules import Schedule
from research_train.processes.world import (
    agree,
    gather,
    largest,
    mean,
    mean_over_ranks,
    neighbours,
    share,
)
from research_train.record.record import Metrics, RecordedMetrics, line_metrics
from research_train.record.run import Run
from research_train.state.checkpoint import (
    TrainState,
    load_checkpoint,
    refuse_unstorable,
    view_snapshot,
)
from research_train.state.optimizer_state import Optimizers
from research_train.state.phases import Phase, kept_steps, phases_before, refuse_another_length
from research_train.state.random_state import RandomState, seed_everything
from research_train.state.training_state import TrainingState, placed, start_training_mode
from research_train.state.writer import CheckpointWriter

Batch = TypeVar("Batch")

DDP_OPTIONS = (
    "broadcast_buffers",
    "bucket_cap_mb",
    "find_unused_parameters",
    "gradient_as_bucket_view",
    "static_graph",
)
OWN_STEP_DDP_OPTIONS = ("broadcast_buffers", "find_unused_parameters")


class Trainer(Generic[Batch]):
    """Trains a model for the steps its run's config says, and records what happens.

    loss: (model, batch) -> scalar, a mean over the batch's examples; or (scalar, weight), a mean
    over something else and how much of it there was (tokens, say), for `accumulate` and several
    processes to give the update of the whole batch. The model is moved to the run's device.
    schedule: step -> factor for every learning rate (schedules.py). clip_norm: the largest norm of
    all gradients together. ema_decay: of an exponential moving average of the parameters, kept in
    `ema` as a model. step: replaces `train_step`, for a training whose update is another:
    (trainer, batch) -> loss; see own_step.py. optimizer: one, or several by name for such a step.
    ddp: options of torch's DistributedDataParallel, one of DDP_OPTIONS, for several processes.

    step: updates done in this run, all of its phases; `phase_step`: those of the present one.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Optimizers,
        loss: Callable[[nn.Module, Batch], Loss],
        *,
        schedule: Schedule | None = None,
        clip_norm: float | None = None,
        ema_decay: float | None = None,
        step: "Callable[[Trainer[Batch], Batch], Tensor] | None" = None,
        ddp: Mapping[str, Any] | None = None,
    ):
        self.run = run
        self.config = run.config
        self.device = run.device
        self.model = placed(model, self.device)
        self.optimizer = optimizer
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.ema = averaged_model(model, ema_decay) if ema_decay is not None else None
        self.step = 0
        self.uneven = False  # processes get parts of a batch that differ in size
        self.world = run.world
        self._loss = loss
        # What of the paper's own may keep state between two steps.
        self._functions = {"loss": loss, "step": step, "schedule": schedule}
        self._own_step = OwnStep(step) if step is not None else None
        self._update = self._own_step or Trainer.train_step
        self.ddp = _checked_options(ddp or {}, step is not None)
        # What the loss calls; `model` stays what is saved, under its own names.
        self._called = self.model
        if self.world.size > 1 and step is None:
            self._called = DistributedDataParallel(self.model, **self.ddp)
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
        self._start = self._end = 0  # of the phase, on the run's count of steps
        self._ended = False
        self._weight = 1.0  # of this process's part of the batch, where there are several
        self._over: Tensor | float = 1.0  # what the loss of the step is a mean over
        self._ignored = IgnoredTargets()
        self._norm: Tensor | None = None  # of the gradients, of the step that is logged next
        self._losses: list[Tensor] = []  # since the last line of metrics, still on the device
        self._weights: list[Tensor | float] = []  # what each of them is a mean over
        self._logged_at = (0, time.perf_counter())
        self._best: tuple[float, int] | None = None
        self._evaluations = 0  # since the best one
        self._unevaluated = False
        self._position: Any = None  # in the data, before the batch at hand
        self._writer = CheckpointWriter()

    @property
    def phase_step(self) -> int:
        """Updates done in this phase: what a schedule is called with."""
        return self.step - self._start

    def fit(
        self,
        batches: BatchSource[Batch],
        evaluate: Callable[[], Metrics] | None = None,
        *,
        steps: int | None = None,
    ) -> None:
        """Train for `steps` more (by default `config.steps`), or what a resumed run has left.

        Each fit is a phase of its run: steps, lines and checkpoints count on from the one before.
        evaluate: called every `evaluate_every` steps, in evaluation mode; its metrics are logged.
        Parts of the model that are in evaluation mode stay so, unless all of it is.
        Raises RunError or CheckpointError before the first step where something that moves can't be
        stored (state/training_state.py), NotFiniteError at the first step whose loss is NaN or
        infinite,
        OutOfMemoryError, StorageError when a checkpoint can't be written, Interrupted when a signal
        came, with a checkpoint written; RunError: it can't be right, before its first step, or data
        ran out.
        """
        config, run = self.config, self.run
        log_every, evaluate_every = config.log_every, config.evaluate_every
        checkpoint_every = config.checkpoint_every
        with (
            self._phase(batches, evaluate, steps),
            closing(Progress(self._end, self.step, run.quiet)) as progress,
            run.stop.deferred(),
            closing(self._writer),
            neighbours(self.world),
        ):
            if self._unevaluated and evaluate is not None:  # what failed when this step was reached
                self._evaluate_again(batches, evaluate)
            for batch in self._remaining(batches):
                self._losses.append(self._stepped(batch, batches))
                self._weights.append(self._over)
                step = self.step = self.step + 1
                last, better = step == self._end, False
                if last or step % log_every == 0:
                    progress.note(self._log_training())
                if evaluate is not None and (last or step % evaluate_every == 0):
                    better = self._evaluate(batches, evaluate)
                    last = last or 0 < config.patience <= self._evaluations
                # Looked at once: none slips in after the checkpoint. All processes stop together.
                stopping = largest(run.stop.signal or 0, self.world)
                if last or stopping or better or step % checkpoint_every == 0:
                    self._save_checkpoint(batches.state_dict(), must=bool(last or stopping))
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

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, for a step of one's own: its `backward()` is right on any number of
        processes, in the run's precision, of the compiled model. model: `trainer.model`, mostly.
        """
        self._uses("loss")
        with self.autocast():
            mean, weight = mean_and_weight(
                self._loss(self._called if model is self.model else model, batch)
            )
        if self.world.size == 1:
            self._over = self._over if weight is None else weight
            return mean
        if weight is None:
            self._ignored.look_at(batch)
            return mean * self._weight
        whole = mean_over_ranks(float(weight), self.world)
        self._over = whole * self.world.size
        return mean * (float(weight) / whole if whole else 1.0)

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """Of the gradients in float16, for a step of one's own; it does nothing in the others."""
        self._uses("scaler")
        return self._scaler

    def autocast(self) -> AbstractContextManager[object]:
        """The run's precision, as a block."""
        self._uses("autocast")
        if self.config.precision == "float32":
            return nullcontext()
        dtype = torch.bfloat16 if self.config.precision == "bfloat16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def backward(self, batch: Batch) -> Tensor:
        """Add the gradients of the batch's loss, in `accumulate` parts; returns the loss."""
        if self._plain:  # nearly nothing between the loss and its gradient: a small model feels it
            loss = self._loss(self._called, batch)
            if not isinstance(loss, Tensor) or loss.ndim:
                loss, weight = mean_and_weight(loss)
                self._over = self._over if weight is None else weight
            loss.backward()
            return loss.detach()
        self._uses("backward")
        return self._backward_in_parts(batch)

    def _backward_in_parts(self, batch: Batch) -> Tensor:
        total = torch.zeros((), device=self.device)
        parts, sizes = self._parts(batch)
        # What the loss says its parts count by is known only after each forward pass, so the
        # gradients are of a whole that is foreseen from the first, and put right in the end.
        foreseen, counted = 0.0, 0.0
        earlier: list[tuple[nn.Parameter, Tensor]] = []
        for part, size in zip(parts, sizes, strict=True):
            with self.autocast():
                loss, weight = mean_and_weight(self._loss(self._called, part))
            if weight is None:  # gradients are averaged: a larger part of the batch counts for more
                part_of_all = self._weight * size / sum(sizes)
            else:
                if not foreseen:
                    first = mean_over_ranks(float(weight), self.world)
                    foreseen = (first or 1.0) * len(parts)
                    earlier = self._set_gradients_aside()
                counted += float(weight)
                part_of_all = float(weight) / foreseen
            if not part_of_all:  # a mean over nothing is no number, nor are its gradients
                loss, part_of_all = sum(p.sum() * 0 for p in self.model.parameters()), 1.0  # type: ignore[assignment]
            self._scaler.scale(loss * part_of_all).backward()
            total += loss.detach() * part_of_all
        if not foreseen:
            self._ignored.look_at(batch)
            return total
        whole = mean_over_ranks(counted, self.world)
        self._over = whole * self.world.size
        return total * self._put_right(foreseen / whole if whole else math.nan, earlier)

    def _parts(self, batch: Batch) -> tuple[list[Batch], list[int]]:
        """The batch in `accumulate` parts, and how many examples each has; whole, it isn't looked
        into, and may be anything."""
        if self.config.accumulate == 1:
            return [batch], [1]
        try:
            parts = split_batch(batch, self.config.accumulate)
            return parts, [count_examples(part) for part in parts]
        except ValueError as error:
            raise RunError(
                f"accumulate={self.config.accumulate}: {error}. Leave it out, or let batches be "
                "tuples, lists or dicts of tensors with an entry an example."
            ) from error

    def _set_gradients_aside(self) -> list[tuple[nn.Parameter, Tensor]]:
        earlier = [(p, p.grad) for p in self.model.parameters() if p.grad is not None]
        for parameter, _ in earlier:
            parameter.grad = None
        return earlier

    def _put_right(self, factor: float, earlier: list[tuple[nn.Parameter, Tensor]]) -> float:
        """Gradients times factor, and those that were there before added; returns factor."""
        if factor != 1:
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.grad *= factor
        for parameter, gradient in earlier:
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        return factor

    def update(self) -> None:
        """Step every optimizer on the gradients there are, and clear them."""
        step = self.step + 1
        logged = step % self.config.log_every == 0 or step == self._end
        if self._own_step is not None:
            self._uses("update")
            self._own_step.updating = True
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
        if self._own_step is not None:
            self._own_step.updating = False

    def _uses(self, what: str) -> None:
        if self._own_step is not None:
            self._own_step.used.add(what)

    def _clipped(self) -> Tensor | None:
        """The norm of all gradients, which are then no longer than clip_norm.

        None where nothing is clipped and no norm can be taken: it is for the log alone.
        """
        if self.clip_norm is not None:
            try:
                return clip_grad_norm_(self.model.parameters(), self.clip_norm)
            except NotImplementedError as error:
                raise RunError(
                    f"clip_norm={self.clip_norm}: these gradients have no norm ({error}). Leave it "
                    "out, or take layers without sparse=True."
                ) from error
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        try:
            return get_total_norm([g.coalesce().values() if g.is_sparse else g for g in gradients])
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            return None

    def _stepped(self, batch: Batch, batches: BatchSource[Batch]) -> Tensor:
        """One step on a batch: what the schedule says, the update, the average; its loss."""
        self._weight, self._over = batches.weight, batches.count
        if self.schedule is not None:
            self._set_rates(self.schedule(self.phase_step))
        try:
            loss = self._update(self, batch)
        except RuntimeError as error:  # torch.OutOfMemoryError, or the CPU's allocator's words
            if "finished reduction in the prior iteration" in str(error):
                raise RunError(
                    f"step {self.step + 1}: some parameters got no gradient, which several "
                    "processes must be told: Trainer(..., ddp={'find_unused_parameters': True})"
                ) from error
            if not isinstance(error, torch.OutOfMemoryError) and "alloc" not in str(error):
                raise
            raise OutOfMemoryError(
                f"out of memory at step {self.step + 1}: {self._peak_memory() / 1e9:.2f} GB at the "
                f"peak, batch_size {self.config.batch_size} in {self.config.accumulate} parts. Try "
                f"accumulate={self.config.accumulate * 2} (the update is the same), "
                "precision=bfloat16, or a smaller batch_size."
            ) from error
        if self.ema is not None:
            self.ema.update_parameters(self.model)
        return loss

    def _set_rates(self, factor: float) -> None:
        groups = [group for each in self._optimizers for group in each.param_groups]
        if len(groups) != len(self._rates):
            raise RunError(
                f"the optimizer has {len(groups)} parameter groups, {len(self._rates)} when the "
                "Trainer was made: the schedule can't know the rates of the others. Make all "
                "groups first, those to come with parameters that don't require gradients."
            )
        for group, rate in zip(groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def _evaluate(self, batches: BatchSource[Batch], evaluate: Callable[[], Metrics]) -> bool:
        """Evaluate and log. What it draws at random changes nothing; returns: is it the best?

        Where it fails a checkpoint is written first; a resume then begins with this evaluation.
        """
        random, failed = RandomState.capture(), None
        try:
            with evaluation_mode(self.model):
                metrics = line_metrics(evaluate())
            better = self._is_best(metrics)
        except Exception as error:
            failed = error
        random.restore()
        if largest(int(failed is not None), self.world):
            self._unevaluated = True
            self._save_checkpoint(batches.state_dict(), must=False)
            self._wait_for_checkpoint(raising=False)
            raise failed or RunError("the evaluation failed in another of the processes")
        self.run.log(self.step, metrics)
        # Rank 0 decides: the others may have other statistics in their normalisations.
        better, self._evaluations, best = share([better, self._evaluations, self._best], self.world)
        self._best = (best[0], best[1]) if best else None
        return bool(better)

    def _evaluate_again(self, batches: BatchSource[Batch], evaluate: Callable[[], Metrics]) -> None:
        """The evaluation that failed at the step of this checkpoint, which is then written anew."""
        self._unevaluated = False
        self._evaluate(batches, evaluate)
        patience = self.config.patience
        self._ended = self.step == self._end or 0 < patience <= self._evaluations
        if self.world.rank == 0:
            shutil.rmtree(self.run.checkpoint_folder(self.step), ignore_errors=True)
        self._save_checkpoint(batches.state_dict(), must=True)

    def _is_best(self, metrics: RecordedMetrics) -> bool:
        kind, _, name = self.config.keep_best.partition(":")
        if not name:
            return False
        if name not in metrics:
            raise RunError(
                f"keep_best: no metric {name!r} was evaluated; there are {', '.join(metrics)}"
            )
        number = metrics[name]
        if number is None:  # no finite one: neither the best nor one that was no better
            return False
        value = number if kind == "max" else -number
        if self._best is None or value > self._best[0]:
            self._best, self._evaluations = (value, self.step), 0
            return True
        self._evaluations += 1
        return False

    def _remaining(self, batches: BatchSource[Batch]) -> Iterator[Batch]:
        """The batches that are left; a signal that comes while one is waited for stops at once."""
        stop, alone = self.run.stop, self.world.size == 1
        epochs_of_nothing, had, first = 0, self.step, True
        epoch = iter(batches)
        while not self._ended and self.step < self._end:
            self._position = batches.state_dict()
            try:
                stop.waiting = alone
                if stop.signal and alone:
                    raise Interrupted(stop.signal)
                batch = next(epoch, None)
                if batch is None:
                    # The first may only end an epoch that a checkpoint or phase ended with.
                    epochs_of_nothing = epochs_of_nothing + 1 if self.step == had else 0
                    if epochs_of_nothing > 1:
                        raise RunError(
                            f"{self._end - self._start} steps are wanted, and the data gave "
                            f"{self.phase_step} batches: then it had none for a whole epoch"
                        )
                    had, epoch = self.step, iter(batches)
            except Interrupted:
                stop.waiting = False
                if self.step > self._start:
                    self._save_checkpoint(self._position, must=True)
                raise
            finally:
                stop.waiting = False
            if batch is not None:
                yield batch
                if first:  # now the optimizer has its state
                    self._try_to_save(batches)
                    first = False

    def _log_training(self) -> str:
        """Log what happened since the last line; returns the loss for display."""
        losses, weights = self._checked_losses()
        if self.step % self.config.log_every == 0:  # the last line may come early: a longer run
            self._losses, self._weights = [], []  # goes on with what it had gathered
        step, then = self._logged_at
        now = time.perf_counter()
        metrics = {"train/loss": _weighted_mean(losses, weights)}
        if self._norm is not None:
            metrics["train/gradient_norm"] = self._norm.item()
            self._norm = None
        metrics |= {
            "train/learning_rate": self._optimizers[0].param_groups[0]["lr"],
            "speed/steps_per_second": (self.step - step) / (now - then),
            "speed/examples_per_second": (self.step - step) * self.config.batch_size / (now - then),
            "memory/peak_bytes": self._peak_memory(),
        }
        self._logged_at = (self.step, now)
        self.run.log(self.step, metrics)
        return f"loss {metrics['train/loss']:.4g}"

    def _checked_losses(self) -> tuple[list[float], list[float]]:
        """The losses since the last line of metrics, and what each is a mean over.

        The one place that waits for the device.
        """
        losses = mean(self._losses, self.world)
        weights = [float(weight) for weight in self._weights]
        for index, loss in enumerate(losses):
            if loss - loss != 0:  # NaN or infinite
                step = self.step - len(losses) + index + 1
                raise NotFiniteError(
                    f"the loss is {loss} at step {step}. A lower learning rate, or a look at the "
                    "data of that step, is where to begin. No checkpoint was written since."
                )
        self._ignored.refuse()
        if self.world.size > 1:
            with torch.no_grad():
                sums = [p.double().sum().cpu() for p in self.model.parameters()]
            if sums and not agree(torch.stack(sums), self.world):
                raise RunError(
                    f"the {self.world.size} processes have other weights at step {self.step}: "
                    "gradients or weights were written by hand, and not averaged. Nothing was "
                    "saved since. Take trainer.backward, or loss.backward(), or one process."
                )
        return losses, weights

    def _peak_memory(self) -> float:
        """Bytes: of the GPU's memory where one is used, else of this process."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def _save_checkpoint(self, position: Any, must: bool) -> None:
        """Have a checkpoint written; wait for it where it must be there.

        position: in the data, as its state_dict says.
        """
        losses, weights = self._checked_losses()
        random = RandomState.capture()
        ranks = gather(vars(random), self.world)[1:]
        if self.world.rank > 0:
            return
        folder = self.run.checkpoint_folder(self.step)
        self._wait_for_checkpoint(self.config.checkpoint_failure == "stop")  # the one before
        if not folder.exists():
            state = TrainState(
                step=self.step,
                data=position,
                random=random,
                ranks=ranks,
                losses=losses,
                weights=weights,
                scaler=self._scaler.state_dict() or None,
                best=self._best,
                evaluations=self._evaluations,
                phases=[[phase.steps, phase.end, phase.best] for phase in self.run.phases],
                lines=self.run.lines,
                unevaluated=self._unevaluated,
                moving=self._moving.moved(),
            )
            snapshot = view_snapshot(self.model, self.optimizer, state, self.ema)
            kept = kept_steps([*self.run.phases, self._so_far()])
            self._writer.write(folder, snapshot, lambda: self._forget_checkpoints(kept))
        if must:
            self._wait_for_checkpoint(raising=True)

    def _wait_for_checkpoint(self, raising: bool) -> None:
        try:
            self._writer.wait()
        except StorageError as error:
            if raising:
                raise
            say(f"warning: {error} Training goes on without that checkpoint.")

    def _forget_checkpoints(self, kept: set[int]) -> None:
        """Remove the checkpoints that nothing keeps: neither new, nor round, nor in kept."""
        every = self.config.keep_every
        for folder in self.run.checkpoints()[: -self.config.keep_checkpoints]:
            step = int(folder.name.removeprefix("step-"))
            if step not in kept and not (every and step % every == 0):
                shutil.rmtree(folder)

    @contextmanager
    def _phase(
        self,
        batches: BatchSource[Batch],
        evaluate: Callable[[], Metrics] | None,
        steps: int | None,
    ) -> Iterator[None]:
        """In this block the run is in its next phase, from where it stands."""
        run = self.run
        length = self.config.steps if steps is None else steps
        _refuse_what_is_no_source(batches, length)
        if run.training:
            raise RunError("fit was called while another fit of this run is at work")
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise RunError(f"fit: steps must be a whole number of 0 or more, is {length!r}")
        try:
            batches.to(self.device).shard(self.world.rank, self.world.size)
        except ValueError as error:  # too few examples for so many processes
            raise RunError(str(error)) from error
        self._start = self.step = run.phases[-1].end if run.phases else 0
        self._end = self._start + length
        self._losses, self._weights, self._norm = [], [], None
        self._best, self._evaluations, self._unevaluated = None, 0, False
        self._ended = length == 0
        self._begin(batches, evaluate)
        self._restore(batches, length)
        rest = 0 if batches.drop_last else batches.examples % batches.batch_size
        self.uneven = any(size % self.world.size for size in (batches.batch_size, rest))
        self._ignored.begin(batches)
        self._logged_at = (self.step, time.perf_counter())
        own = self._own_step
        try:
            run.training = True
            with own.attached(self, self._optimizers) if own else nullcontext():
                yield
        finally:
            run.training = False
        if self.schedule is not None:  # the next phase may have another, of the same rates
            self._set_rates(1.0)
        run.phases.append(self._so_far(length))

    def _so_far(self, length: int = 0) -> Phase:
        return Phase(length, self.step, self._best[1] if self._best else None)

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
            **self._functions,
            evaluate=evaluate,
        )
        self._try_to_save(batches)

    def _try_to_save(self, batches: BatchSource[Batch]) -> None:
        """A checkpoint without a disk: what it can't hold is found before the training is lost."""
        state = TrainState(data=batches.state_dict(), moving=self._moving.moved())
        refuse_unstorable(view_snapshot(self.model, self.optimizer, state, self.ema))

    def _restore(self, batches: BatchSource[Batch], length: int) -> None:
        """Go to where this phase stood: at its beginning, at a checkpoint in it, or at its end."""
        run, number = self.run, len(self.run.phases)
        if run.passed is None:  # once: training on, that checkpoint may be removed
            run.passed = phases_before(run.resume_from) if run.resume_from else []
        passed = run.passed
        if run.resume_from is None or number > len(passed):
            if number == 0:
                if (weights := run.init_weights()) is not None:
                    load_checkpoint(weights, self.model)
                if self.world.rank > 0:
                    self._restore_rank(None)
            return
        checkpoint = run.resume_from
        if number < len(passed):
            refuse_another_length(number, passed[number], length)
            checkpoint = run.checkpoint_folder(passed[number].end)
            if length == 0:
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
        if state.step > self._end:
            raise RunError(
                f"{checkpoint}: is {state.step - self._start} steps into a phase that is now to "
                f"train {length}: start a new run"
            )
        self._moving.put_back(state.moving)
        self.step = state.step
        self._losses = [torch.tensor(loss, device=self.device) for loss in state.losses]
        # Checkpoints of before there were weights: every batch counted alike.
        self._weights = [*state.weights] or [float(batches.batch_size)] * len(state.losses)
        if state.scaler:
            self._scaler.load_state_dict(state.scaler)
        self._best = (state.best[0], state.best[1]) if state.best else None
        self._evaluations, self._unevaluated = state.evaluations, state.unevaluated
        self._ended = not state.unevaluated and (
            self.step == self._end or 0 < self.config.patience <= self._evaluations
        )
        if number < len(passed):
            self._ended, self._unevaluated = True, False
        state.random.restore()
        if self.world.rank > 0:
            self._restore_rank(state)
        run.replaying = number < len(passed)

    def _restore_rank(self, state: TrainState | None) -> None:
        """The generators of this process: its own of before, or new ones of this step."""
        rank = self.world.rank
        if state and len(state.ranks) == self.world.size - 1:
            RandomState(**state.ranks[rank - 1]).restore()
        else:
            seed_everything(self.config.seed + 1_000_003 * rank + self.step)


def _weighted_mean(values: list[float], weights: list[float]) -> float:
    """The mean of values that are means over so much each."""
    if len(set(weights)) == 1:  # to the bit what the plain mean is
        return sum(values) / len(values)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _checked_options(options: Mapping[str, Any], own_step: bool) -> dict[str, Any]:
    """Options for DistributedDataParallel. Raises RunError for one it hasn't, or can't honour."""
    known = OWN_STEP_DDP_OPTIONS if own_step else DDP_OPTIONS
    if unknown := options.keys() - set(known):
        why = "a step of one's own can have" if own_step else "there are"
        raise RunError(f"ddp: no option {', '.join(sorted(unknown))}; {why} {', '.join(known)}")
    return dict(options)


def _refuse_what_is_no_source(batches: object, steps: int) -> None:
    """Raises RunError for a list, a generator, a DataLoader: their place can't be saved."""
    if isinstance(batches, BatchSource):
        return
    count = f"{len(batches)} batches" if isinstance(batches, Sized) else "an unknown number"
    raise RunError(
        f"fit: {steps} steps are wanted of a {type(batches).__name__} with {count}, and a resume "
        "could not find its place in it: hand in Batches, a StatefulDataLoader, or a BatchSource"
    )
