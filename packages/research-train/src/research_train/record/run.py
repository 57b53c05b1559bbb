"""The `Run` that a paper's code receives: config, data, device, metrics and checkpoints.

assets/outputs/<paper>/<run-id>/run.json        who, what, when, with which code, how it ended
                                config.yaml     the whole config; `train --config` takes it back
                                metrics.jsonl   one JSON object a line
                                media/          pictures, texts and histograms: see media.py
                                checkpoints/    see state/checkpoint.py
"""

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from operator import index
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import torch
from research_data import (
    ResearchError,
    StorageError,
    asset_folder,
    pinned_assets,
)
from research_data.durable import write_bytes, write_json
from research_data.shown import did_you_mean, say
from torch import nn

from research_train.errors import CheckpointError, Interrupted, MetricError, RunError
from research_train.experiment.config import TrainConfig
from research_train.processes.signals import StopRequest
from research_train.processes.world import World
from research_train.record.environment import (
    find_device,
    host_name,
)
from research_train.record.finding import find_run
from research_train.record.folders import (
    CHECKPOINTS,
    METRICS,
    RECORD,
)
from research_train.record.lock import LOCK, lock_run
from research_train.record.media import Kind, Media
from research_train.record.media_content import encode_histogram, encode_image, write_figure
from research_train.record.record import (
    Failure,
    RunRecord,
    Status,
    checkpoint_folders,
    compute_seal,
    line_metrics,
    record_as_json,
    utc_now,
)
from research_train.record.trackers import follow_metrics
from research_train.state.checkpoint import load_checkpoint, verify_checkpoint
from research_train.state.phases import Phase
from research_train.state.random_state import seed_everything

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Model = TypeVar("Model", bound=nn.Module)


class Run:
    """A run in its folder: what a paper's code asks for its config, data, device and weights.

    resume_from: the checkpoint to continue from. stop: whether a signal has asked to stop.
    quiet: show no progress. world: which of several processes this is; only the first writes
    anything. phases: the fits that have ended. fit_step: gives the step of the fit that is
    running; None if none is. replaying: the paper's code has not yet reached the point of the
    resume, so what it logs is in metrics.jsonl already.
    """

    def __init__(self, folder: Path, record: RunRecord, config: TrainConfig, quiet: bool = False):
        self.folder = folder
        self.record = record
        self.config = config
        self.quiet = quiet
        self.stop = StopRequest()
        self.world = World()
        self.resume_from: Path | None = None
        self.phases: list[Phase] = []
        self.passed: list[Phase] | None = None  # those before resume_from, once they are looked up
        self.fit_step: Callable[[], int] | None = None
        self.replaying = False
        self.lines = 0  # in metrics.jsonl
        self._lock: IO[str] | None = None
        self._metrics: IO[str] | None = None
        self._media: Media | None = None

    @property
    def device(self) -> torch.device:
        """The device that the config's `device` means here. Raises ConfigError if there is none."""
        device = find_device(self.config.device)
        if self.world.size > 1 and device == torch.device("cuda"):
            return torch.device("cuda", self.world.local_rank)
        return device

    @property
    def sharded(self) -> bool:
        """Whether each process has only a part of the weights (`parallel=fsdp`)."""
        return self.config.parallel == "fsdp" and self.world.size > 1

    def asset(self, name: str) -> Path:
        """The folder of a dataset or model that the member's pyproject names. Raises RunError."""
        if name not in self.record.assets:
            raise RunError(
                f"{self.record.paper}: no dataset or model {name!r} under [tool.research] in its "
                f"pyproject.toml.{did_you_mean(name, self.record.assets)}"
            )
        return asset_folder(name, self.record.assets[name])

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Add a line to metrics.jsonl; the operating system has it when this returns.

        `speed/*` and `memory/*` count as numbers of the machine, which comparisons of runs leave
        out. Raises MetricError for a value that isn't a number, or a reserved name.
        """
        if self.world.rank > 0 or self.replaying:
            return
        if self._metrics is None:
            self._metrics = (self.folder / METRICS).open("a", encoding="utf-8")
        numbers = line_metrics(metrics)
        line = json.dumps({"step": _count(step), "time": round(time.time(), 3), **numbers})
        try:
            self._metrics.write(line + "\n")
            self._metrics.flush()
        except OSError as error:
            raise StorageError(self.folder / METRICS, error) from error
        self.lines += 1

    def log_image(self, name: str, array: object, step: int | None = None) -> None:
        """Show a picture: media/NAME/step-STEP.png, and the same in the trackers.

        array: an array or tensor (height, width), (height, width, channels) or (channels, height,
        width), with 1, 3 or 4 channels; whole numbers from 0 to 255, or others from 0 to 1. step:
        by default how many updates the run has done. A name may have a `/`, as those of metrics;
        the same name at the same step replaces the picture. Raises MetricError for another array
        or name, StorageError.
        """
        self._show("image", name, step, lambda file: write_bytes(file, encode_image(array)))

    def log_figure(self, name: str, figure: "Figure", step: int | None = None) -> None:
        """Show a matplotlib figure, which stays open: as `log_image`."""
        self._show("image", name, step, lambda file: write_figure(figure, file))

    def log_text(self, name: str, text: str, step: int | None = None) -> None:
        """Show a text: media/NAME/step-STEP.txt; else as `log_image`."""
        content = str(text).encode(errors="backslashreplace")
        self._show("text", name, step, lambda file: write_bytes(file, content))

    def log_histogram(self, name: str, values: object, step: int | None = None) -> None:
        """Show how values are distributed: media/NAME/step-STEP.json; else as `log_image`.

        values: an array or tensor of any shape, or numbers; they are counted in 64 bins.
        """
        self._show(
            "histogram", name, step, lambda file: write_bytes(file, encode_histogram(values))
        )

    def _show(self, kind: Kind, name: str, step: int | None, write: Callable[[Path], None]) -> None:
        if self.world.rank > 0:
            return
        if self._media is None:
            self._media = Media(self.folder)
        present = self._present_step() if step is None else _count(step)
        self._media.add(kind, name, present, write, again=not self.replaying)

    def _present_step(self) -> int:
        """How many updates the run has done; of a recorded one, those of its last checkpoint."""
        if self.fit_step is not None:
            return self.fit_step()
        if self._lock is None and (checkpoints := self.checkpoints()):
            return int(checkpoints[-1].name.removeprefix("step-"))
        return self.phases[-1].end if self.phases else 0

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / CHECKPOINTS / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """The folders of the checkpoints on disk, oldest first."""
        return checkpoint_folders(self.folder)

    def last_checkpoint(self) -> Path | None:
        """The newest undamaged checkpoint; damaged ones are skipped with a warning."""
        for folder in reversed(self.checkpoints()):
            try:
                verify_checkpoint(folder)
            except CheckpointError as error:
                say(f"warning: {error}; trying the checkpoint before it")
            else:
                return folder
        return None

    def init_weights(self) -> Path | None:
        """The checkpoint that `init_from` says to start from; None if it is empty.

        Raises RunError if that run doesn't exist or has no checkpoint.
        """
        if not self.config.init_from:
            return None
        folder = find_run(self.record.paper, self.config.init_from)
        checkpoints = checkpoint_folders(folder)
        if not checkpoints:
            raise RunError(f"init_from: {folder} holds no checkpoint")
        return checkpoints[-1]

    def load_weights(self, model: Model) -> Model:
        """Fill model from the last checkpoint and put it on the run's device, in evaluation mode.

        Raises RunError if there is none, CheckpointError if it is damaged or of another model: an
        earlier one is never used instead.
        """
        checkpoints = self.checkpoints()
        if not checkpoints:
            raise RunError(f"{self.folder}: holds no checkpoint")
        load_checkpoint(checkpoints[-1], model)
        return model.to(self.device).eval()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Train in this block: seeds are set, trackers follow, and its outcome is recorded.

        The block sets `record.metrics`. Whatever it raises is recorded and raised again. Raises
        RunError if the run has already been trained.
        """
        if self.world.rank > 0:
            with pinned_assets(self.record.assets):
                seed_everything(self.config.seed, self.config.deterministic)
                yield
            return
        if self._lock is None:
            raise RunError(
                f"{self.record.id} is {self.record.status}: start a new run, or resume it"
            )
        assets = pinned_assets(self.record.assets)  # whatever the code asks for by name
        trackers = follow_metrics(self.folder, self.config, len(self.record.attempts))
        with self._held(), assets, trackers:
            try:
                seed_everything(self.config.seed, self.config.deterministic)
                yield
            except Interrupted as stop:
                self._end("interrupted", Failure(type="Interrupted", message=str(stop)))
                raise
            except KeyboardInterrupt:
                self._end("interrupted", Failure(type="KeyboardInterrupt", message="interrupted"))
                raise
            except BaseException as error:
                mistake = isinstance(error, ResearchError)
                failure = Failure(
                    type=type(error).__name__,
                    message=str(error),
                    traceback=None if mistake else traceback.format_exc(),
                )
                self._end("failed", failure)
                raise
            else:
                self._end("completed", None)

    def save(self) -> None:
        """Write the record."""
        write_json(self.folder / RECORD, record_as_json(self.record))

    def _end(self, status: Status, failure: Failure | None) -> None:
        if self._metrics is not None:
            with suppress(OSError):  # a full disk again, reported when the line was written
                self._metrics.close()
            self._metrics = None
        record = self.record
        record.status = record.attempts[-1].status = status
        record.ended = record.attempts[-1].end = utc_now()
        record.error = failure
        if status == "completed":
            (self.folder / METRICS).touch()
            record.seal = compute_seal(self.folder, record)
        self.save()

    @contextmanager
    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.release()

    def hold(self) -> None:
        """Lock the run for this process: a free lock means that no process is at work on it.

        Raises RunError if another process is.
        """
        self._lock = lock_run(self.folder)
        if self._lock is None:
            holder = (self.folder / LOCK).read_text(encoding="utf-8").strip()
            raise RunError(f"{self.folder}: another process is at work on this run ({holder})")
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {host_name()}")
        self._lock.flush()

    def release(self) -> None:
        """Unlock the run: this process is no longer at work on it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _count(step: object) -> int:
    try:
        count = index(step)  # type: ignore[arg-type]  # NumPy's and torch's integers have it
    except TypeError:
        count = -1
    if count < 0:
        raise MetricError(f"step {step!r}: must be a whole number, 0 or more")
    return count
