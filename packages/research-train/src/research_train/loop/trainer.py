"""The training loop."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from typing import Any, Generic, TypeVar

import torch
from research_data.batches.in_memory import Batches
from research_data.batches.source import BatchesState, BatchSource
from torch import Tensor, nn
from torch.optim import Optimizer

from research_train.errors import Interrupted
from research_train.loop.averaging import averaged_model
from research_train.loop.checkpoints import Checkpoints
from research_train.loop.compiled_step import CompiledStep, compiled_step
from research_train.loop.compiler import describe_compiler
from research_train.loop.endless_batches import EndlessBatches
from research_train.loop.evaluations import Evaluations
from research_train.loop.first_checks import check_before_first_step, checked_ddp_options
from research_train.loop.gradients import Gradients
from research_train.loop.loss_parts import Loss
from research_train.loop.own_step import OwnStep
from research_train.loop.progress import Progress
from research_train.loop.schedules import BaseRates, Schedule
from research_train.loop.stalls import stalls_told
from research_train.loop.step_errors import explained
from research_train.loop.training_log import TrainingLog
from research_train.processes.messages import largest, neighbours
from research_train.record.record import Metrics
from research_train.record.run import Run
from research_train.state.moving_state import placed
from research_train.state.optimizer_state import Optimizers, each_optimizer
from research_train.state.phases import Phase
from research_train.state.train_state import TrainState

Batch = TypeVar("Batch")


class Trainer(Generic[Batch]):
    """Trains a model for the steps its run's config says, and records what happens.

    loss: (model, batch) -> scalar, a mean over the batch's examples; or (scalar, weight), a mean
    over something else and how much of it there was (tokens, say), for `accumulate` and several
    processes to give the update of the whole batch. The model is moved to the run's device.
    schedule: step -> factor for every learning rate (schedules.py). clip_norm: the largest norm of
    all gradients together. ema_decay: of an exponential moving average of the parameters, kept in
    `ema` as a model. step: replaces `train_step`, for a training whose update is another:
    (trainer, batch) -> loss; see own_step.py. optimizer: one, or several by name for such a step.
    ddp: options of torch's DistributedDataParallel (first_checks.py), for several processes.
    flops: floating-point operations of one step in this process, say 3 * batch_size *
    research_models.flops(model, x); `speed/model_flops_utilization` is logged then: how much of
    the rate of this machine's float32 matrix products they reach.

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
        flops: float | None = None,
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
        self.ddp = checked_ddp_options(ddp or {}, step is not None)
        # What of the paper's own may keep state between two steps.
        self._functions = {"loss": loss, "step": step, "schedule": schedule}
        self._own_step = OwnStep(step) if step is not None else None
        self._update = self._own_step or Trainer.train_step
        self._used = self._own_step.used if self._own_step else set()
        self._optimizers: list[Optimizer] = list(each_optimizer(optimizer).values())
        self._rates = BaseRates(self._optimizers)
        self._compiled = compiled_step(
            self.config,
            self.model,
            self._optimizers,
            loss,
            self.device,
            self.world,
            own_step=step is not None,
            clip_norm=clip_norm,
            ema=self.ema,
            ema_decay=ema_decay,
        )
        if run.sharded:
            from research_train.loop.sharded import shard

            options = {"step": step, "ema_decay": self.ema, "ddp": self.ddp}
            shard(self.model, self._optimizers, self.device, self.world, **options)
        parallel = self.ddp if step is None and not run.sharded else None
        self._gradients = Gradients(
            self.config, self.model, loss, self.device, self.world, parallel
        )
        self._norm: Tensor | None = None  # of the gradients, of the step that is logged next
        self._evaluations = Evaluations(run, self.model)
        self._start = self._end = 0  # of the phase, on the run's count of steps
        self._ended = False
        self._unevaluated = False  # an evaluation failed, and a resume begins with it
        self._checkpoints = Checkpoints(
            run, self.model, optimizer, self.ema, self._gradients.scaler
        )
        self._log = TrainingLog(
            run,
            self.model,
            self.device,
            self._gradients.ignored,
            flops,
            self._checkpoints.last,
        )

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
        Raises RunError before the first step for a fit that can't work, RunError or CheckpointError
        for changing state that can't be stored (state/moving_state.py), NotFiniteError at the first
        step whose loss is NaN or infinite, OutOfMemoryError, RunError if the data runs out,
        StorageError if a checkpoint can't be written, Interrupted after a signal or `max_minutes`,
        once a checkpoint is written.
        """
        config, run = self.config, self.run
        log_every, evaluate_every = config.log_every, config.evaluate_every
        checkpoint_every = config.checkpoint_every
        with (
            self._phase(batches, evaluate, steps),
            closing(Progress(self._end, self.step, run.quiet)) as progress,
            run.stop.deferred(),
            stalls_told(lambda: self.step, quiet=self.world.rank > 0),
            closing(self._checkpoints),
            neighbours(self.world),
        ):
            if self._unevaluated and evaluate is not None:
                self._evaluate_again(batches, evaluate)
            for batch in self._remaining(batches):
                loss = self._stepped(batch, batches)
                step = self.step = self.step + 1
                self._log.add(loss, self._gradients.over)
                last, better = step == self._end, False
                if last or step % log_every == 0:
                    progress.note(self._write_line())
                if evaluate is not None and (last or step % evaluate_every == 0):
                    better = self._evaluate(batches, evaluate)
                    last = last or self._evaluations.out_of_patience
                # Read once, so that a signal after the checkpoint waits for the next step. The
                # maximum makes all processes stop together.
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
        if self._compiled is not None:
            return self._step_compiled(self._compiled, batch)
        loss = self.backward(batch)
        self.update()
        return loss

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch, for a paper's own `step=`.

        It is computed in the run's precision with the compiled model, and its `backward()` is
        correct on any number of processes. model: usually `trainer.model`.
        """
        self._used.add("loss")
        return self._gradients.loss(model, batch)

    @property
    def scaler(self) -> torch.amp.GradScaler:
        """The gradient scaler, for a paper's own `step=`; it does nothing except in float16."""
        self._used.add("scaler")
        return self._gradients.scaler

    def autocast(self) -> AbstractContextManager[object]:
        """A block in which operations run in the run's precision."""
        self._used.add("autocast")
        return self._gradients.autocast()

    def backward(self, batch: Batch) -> Tensor:
        """Add the gradients of the batch's loss, in `accumulate` parts; returns the loss."""
        self._used.add("backward")
        return self._gradients.backward(batch)

    def update(self) -> None:
        """Step every optimizer on the accumulated gradients, and clear them."""
        self._used.update(("update", "updating"))
        step = self.step + 1
        logged = step % self.config.log_every == 0 or step == self._end
        if self.clip_norm is not None or logged:
            self._norm = self._gradients.clipped(self._optimizers, self.clip_norm)
        self._gradients.step(self._optimizers)
        self._used.remove("updating")

    def _step_compiled(self, step: CompiledStep, batch: Batch) -> Tensor:
        loss = step(batch, self.run.quiet)
        self._norm = step.norm
        if step.over is not None:
            self._gradients.over = step.over
        return loss

    def _stepped(self, batch: Batch, batches: BatchSource[Batch]) -> Tensor:
        """One step on a batch: what the schedule says, the update, the average; its loss."""
        self._gradients.next_batch(batches)
        if self.schedule is not None:
            self._rates.multiply(self.schedule(self.phase_step))
        try:
            loss = self._update(self, batch)
        except RuntimeError as error:
            if said := explained(error, self.step + 1, self.config, self.device):
                raise said from error
            raise
        if self.ema is not None and self._compiled is None:
            self.ema.update_parameters(self.model)
        return loss

    def _write_line(self) -> str:
        """Log what happened since the last line; returns the loss for display."""
        rate, norm = self._optimizers[0].param_groups[0]["lr"], self._norm
        self._norm = None
        return self._log.write(self.step, rate, norm)

    def _evaluate(self, batches: BatchSource[Batch], evaluate: Callable[[], Metrics]) -> bool:
        """Evaluate and log; returns whether it is the best so far.

        If it fails, a checkpoint is written first, and a resume begins with this evaluation.
        """
        outcome = self._evaluations.evaluate(evaluate, self.step)
        if outcome.failed is not None:
            self._unevaluated = True
            self._save_checkpoint(batches.state_dict(), must=False)
            self._checkpoints.wait(raising=False)
            raise outcome.failed
        self.run.log(self.step, outcome.metrics)
        return outcome.better

    def _evaluate_again(self, batches: BatchSource[Batch], evaluate: Callable[[], Metrics]) -> None:
        """Make up for an evaluation that failed; the checkpoint of its step is written anew."""
        self._unevaluated = False
        self._evaluate(batches, evaluate)
        self._ended = self.step == self._end or self._evaluations.out_of_patience
        self._checkpoints.remove(self.step)
        self._save_checkpoint(batches.state_dict(), must=True)

    def _remaining(self, batches: BatchSource[Batch]) -> Iterator[Batch]:
        """The batches that are left; a signal that comes while one is waited for stops at once."""
        # Batches in memory come in microseconds: there the step's own look for a signal is enough.
        waits = self.world.size == 1 and type(batches) is not Batches
        stop = self.run.stop if waits else None
        source = EndlessBatches(batches, self._end - self._start, self.phase_step, stop)
        first = True
        while not self._ended and self.step < self._end:
            try:
                batch = source.next()
            except Interrupted:
                if self.step > self._start:
                    self._save_checkpoint(source.position, must=True)
                raise
            yield batch
            if first:
                self._checkpoints.expect(batches)
                self._log.start_clock(self.step)  # the first step may compile
                first = False

    def _save_checkpoint(self, position: BatchesState, must: bool) -> None:
        """Have a checkpoint written; with `must`, wait until it is."""
        losses, weights = self._log.checked(self.step)
        state = TrainState(
            step=self.step,
            data=position,
            losses=losses,
            weights=weights,
            best=self._evaluations.best,
            evaluations=self._evaluations.since,
            unevaluated=self._unevaluated,
        )
        self._checkpoints.save(state, self._so_far(), must)

    @contextmanager
    def _phase(
        self,
        batches: BatchSource[Batch],
        evaluate: Callable[[], Metrics] | None,
        steps: int | None,
    ) -> Iterator[None]:
        """In this block the run is in its next phase, new or resumed."""
        run, own = self.run, self._own_step
        length = self.config.steps if steps is None else steps
        self.uneven = check_before_first_step(run, self.model, batches, length)
        self._start = self.step = run.phases[-1].end if run.phases else 0
        self._end = self._start + length
        self._ended, self._unevaluated = length == 0, False
        self._norm = None
        self._log.begin()
        self._evaluations.begin()
        self._checkpoints.begin(batches, **self._functions, evaluate=evaluate)
        state = self._checkpoints.restore(batches, self._start, length)
        if state is not None:
            self._go_on_from(state, batches)
        self._gradients.ignored.begin(batches)
        if self._compiled is not None:
            self._compiled.begin(batches, length)
            run.record.attempts[-1].environment.compiler = describe_compiler(self.device)
        self._log.start_clock(self.step)
        try:
            run.fit_step = lambda: self.step
            with own.attached(self, self._optimizers) if own else nullcontext():
                yield
        finally:
            run.fit_step = None
        if self.schedule is not None:  # the next phase may have another, of the same rates
            self._rates.multiply(1.0)
        run.phases.append(self._so_far(length))

    def _go_on_from(self, state: TrainState, batches: BatchSource[Batch]) -> None:
        """Continue from the part of a checkpoint that `Checkpoints.restore` doesn't restore."""
        self.step = state.step
        # Older checkpoints have no weights: every batch counted the same.
        alike = [float(batches.batch_size)] * len(state.losses)
        self._log.begin(state.losses, state.weights or alike)
        self._evaluations.begin(state.best, state.evaluations)
        passed = self.run.replaying  # other phases followed this one
        self._unevaluated = state.unevaluated and not passed
        over = self.step == self._end or self._evaluations.out_of_patience
        self._ended = passed or (over and not self._unevaluated)

    def _so_far(self, length: int = 0) -> Phase:
        best = self._evaluations.best
        return Phase(length, self.step, best[1] if best else None)
