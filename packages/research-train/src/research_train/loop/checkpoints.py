"""Write, prune and load the checkpoints of a training."""

import shutil
from pathlib import Path
from typing import Any

import torch
from research_data.batches.source import BatchSource
from research_data.errors import StorageError
from research_data.shown import say
from torch import nn

from research_train.errors import RunError
from research_train.processes.messages import gather, share
from research_train.record.run import Run
from research_train.state.checkpoint import load_checkpoint
from research_train.state.moving_state import MovingState
from research_train.state.optimizer_state import Optimizers
from research_train.state.phases import Phase, kept_steps, phases_before, refuse_another_length
from research_train.state.random_state import RandomState, seed_everything
from research_train.state.snapshot import Snapshot, refuse_unstorable, view_snapshot
from research_train.state.train_state import TrainState
from research_train.state.writer import CheckpointWriter


class Checkpoints:
    """Writes the checkpoints of a run in the background, and restores a training from one.

    scaler: the gradient scaler, for float16.
    """

    def __init__(
        self,
        run: Run,
        model: nn.Module,
        optimizer: Optimizers,
        ema: nn.Module | None,
        scaler: torch.amp.GradScaler,
    ):
        self._run = run
        self._model = model
        self._optimizer = optimizer
        self._ema = ema
        self._scaler = scaler
        self._writer = CheckpointWriter()

    def begin(self, batches: BatchSource[Any], **functions: object) -> None:
        """Note the state of everything before a phase.

        functions: the paper's own functions, which may keep state. Raises RunError or
        CheckpointError for state that changes in training and can't be stored.
        """
        self._moving = MovingState(self._model, self._optimizer, self._ema, **functions)
        self._try_to_save(batches)

    def expect(self, batches: BatchSource[Any]) -> None:
        """Prepare for the first checkpoint, after a step has given the optimizer its state.

        Raises RunError or CheckpointError for state that this step created and can't be stored.
        """
        snapshot = self._try_to_save(batches)
        if self._run.world.rank == 0 and not self._run.sharded:
            self._writer.reserve(snapshot)

    def _try_to_save(self, batches: BatchSource[Any]) -> Snapshot:
        """Take a snapshot without writing it, to find early what a checkpoint can't hold."""
        state = TrainState(data=batches.state_dict(), moving=self._moving.moved())
        snapshot = view_snapshot(self._model, self._optimizer, state, self._ema)
        refuse_unstorable(snapshot)
        return snapshot

    def save(self, state: TrainState, phase: Phase, must: bool) -> None:
        """Have the first process write a checkpoint; with `must`, wait until it is written.

        state: without the parts of the run, the scaler and the other processes, which are added
        here. phase: the current one, so far. Raises StorageError.
        """
        run = self._run
        state.ranks = gather(vars(state.random), run.world)[1:]
        if run.sharded:
            self._save_sharded(state, phase, must)
            return
        if run.world.rank > 0:
            return
        self.wait(raising=run.config.checkpoint_failure == "stop")  # for the previous one
        folder = run.checkpoint_folder(state.step)
        if not folder.exists():
            snapshot = self._snapshot(state)
            kept = kept_steps([*run.phases, phase])
            self._writer.write(folder, snapshot, lambda: self._forget(kept))
        if must:
            self.wait(raising=True)

    def _save_sharded(self, state: TrainState, phase: Phase, must: bool) -> None:
        """Write a checkpoint with all processes, which wait for each other: none has all of it."""
        from research_train.state.sharded_writer import write_sharded

        run = self._run
        folder = run.checkpoint_folder(state.step)
        if share(folder.exists(), run.world):
            return
        try:
            write_sharded(folder, self._snapshot(state), run.world)
        except StorageError as error:
            if must or run.config.checkpoint_failure == "stop":
                raise
            if run.world.rank == 0:
                say(f"warning: {error} Training continues without that checkpoint.")
            return
        if run.world.rank == 0:
            self._forget(kept_steps([*run.phases, phase]))

    def _snapshot(self, state: TrainState) -> Snapshot:
        """What a checkpoint holds now. state: still without the parts of the run and the scaler."""
        state.scaler = self._scaler.state_dict() or None
        state.phases = [[each.steps, each.end, each.best] for each in self._run.phases]
        state.lines = self._run.lines
        state.moving = self._moving.moved()
        return view_snapshot(self._model, self._optimizer, state, self._ema)

    def wait(self, raising: bool) -> None:
        """Wait until no checkpoint is being written. Raises StorageError, or only prints it."""
        try:
            self._writer.wait()
        except StorageError as error:
            if raising:
                raise
            say(f"warning: {error} Training continues without that checkpoint.")

    def last(self) -> Path | None:
        """The newest checkpoint on disk, once none is being written."""
        self._writer.close()
        return next(reversed(self._run.checkpoints()), None)

    def close(self) -> None:
        """Wait until no checkpoint is being written; ignore an error in writing it."""
        self._writer.close()

    def remove(self, step: int) -> None:
        """Remove the checkpoint of a step, where there is one."""
        if self._run.world.rank == 0:
            shutil.rmtree(self._run.checkpoint_folder(step), ignore_errors=True)

    def restore(self, batches: BatchSource[Any], start: int, length: int) -> TrainState | None:
        """Restore this phase from the checkpoint to resume from, or from the one at its end.

        start: the run's step at which the phase begins. length: how many steps it trains. Returns
        the rest of the checkpoint's state, or None if the phase starts from its beginning. Sets
        `run.replaying` if other phases followed it. Raises RunError or CheckpointError if the
        checkpoint doesn't fit.
        """
        run, number = self._run, len(self._run.phases)
        if run.passed is None:  # read once: the checkpoint may be removed later
            run.passed = phases_before(run.resume_from) if run.resume_from else []
        passed = run.passed
        if run.resume_from is None or number > len(passed):
            if number == 0:
                if (weights := run.init_weights()) is not None:
                    load_checkpoint(weights, self._model)
                self._restore_rank(None, start)
            return None
        checkpoint = run.resume_from
        if number < len(passed):
            refuse_another_length(number, passed[number], length)
            checkpoint = run.checkpoint_folder(passed[number].end)
            if length == 0:
                return None
        state = load_checkpoint(checkpoint, self._model, self._optimizer, self._ema)
        if state.data is None:
            raise RunError(f"{checkpoint}: holds no position in the data")
        if run.checkpoint_folder(state.step).name != checkpoint.name:
            raise RunError(
                f"{checkpoint}: its name is wrong, it holds the state of step {state.step}"
            )
        try:
            batches.load_state_dict(state.data)
        except ValueError as error:
            raise RunError(f"{checkpoint}: {error}") from error
        if state.step > start + length:
            raise RunError(
                f"{checkpoint}: is {state.step - start} steps into a phase that now has only "
                f"{length} steps. Start a new run"
            )
        self._moving.put_back(state.moving)
        if state.scaler:
            self._scaler.load_state_dict(state.scaler)
        state.random.restore()
        self._restore_rank(state, state.step)
        run.replaying = number < len(passed)
        return state

    def _restore_rank(self, state: TrainState | None, step: int) -> None:
        """Restore the random generators of a process other than the first, or seed them by step."""
        world = self._run.world
        if world.rank == 0:
            return
        if state and len(state.ranks) == world.size - 1:
            RandomState(**state.ranks[world.rank - 1]).restore()
        else:
            seed_everything(self._run.config.seed + 1_000_003 * world.rank + step)

    def _forget(self, kept: set[int]) -> None:
        """Remove checkpoints that are neither recent, nor at `keep_every` steps, nor in kept."""
        every = self._run.config.keep_every
        for folder in self._run.checkpoints()[: -self._run.config.keep_checkpoints]:
            step = int(folder.name.removeprefix("step-"))
            if step not in kept and not (every and step % every == 0):
                shutil.rmtree(folder)
