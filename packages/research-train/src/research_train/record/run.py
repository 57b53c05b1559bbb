"""A run: one plain folder, born before training; from then on every outcome is recorded in it.

assets/outputs/<paper>/<run-id>/run.json        who, what, when, with which code, how it ended
                                config.yaml     the whole config; `train --config` takes it back
                                metrics.jsonl   one JSON object a line
                                checkpoints/    see state/checkpoint.py
"""

import fcntl
import json
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from operator import index
from pathlib import Path
from typing import IO, Any, TypedDict, TypeVar

import torch
from packaging.utils import canonicalize_name
from research_data import (
    ResearchError,
    StorageError,
    asset_folder,
    get_outputs_dir,
    pinned_assets,
)
from research_data.durable import new_folder, sha256_file, write_bytes, write_json
from research_data.shown import say
from torch import nn

from research_train.code.archive import archive_source, changed_files
from research_train.code.fingerprint import fingerprint
from research_train.errors import CheckpointError, Interrupted, MetricError, RunError
from research_train.experiment.config import TrainConfig, dump_yaml, load_config
from research_train.experiment.members import Experiment, Member, did_you_mean
from research_train.processes.signals import StopRequest
from research_train.processes.world import World
from research_train.record.environment import (
    GitState,
    describe_environment,
    find_device,
    git_state,
    host_name,
)
from research_train.record.files import CHECKPOINTS, CONFIG, METRICS, RECORD, SOURCES
from research_train.record.folders import (
    LOCK,
    code_archive,
    find_run,
    last_run,
    lock_run,
    run_label,
)
from research_train.record.record import (
    PARENT,
    Attempt,
    Failure,
    RunRecord,
    Status,
    checkpoint_folders,
    compute_seal,
    line_metrics,
    read_record,
    record_as_json,
    utc_now,
)
from research_train.record.trackers import follow_metrics
from research_train.state.checkpoint import load_checkpoint, verify_checkpoint
from research_train.state.phases import Phase, lines_before
from research_train.state.random_state import seed_everything
from research_train.versions.hand_over import running_releases
from research_train.versions.requirements import (
    dependency_closure,
    reached_packages,
    required_by,
    requirements_of,
    workspace_packages,
)

Model = TypeVar("Model", bound=nn.Module)


class Run:
    """A run in its folder: what a paper's code asks for its config, data, device and weights.

    resume_from: the checkpoint to go on from. stop: whether a signal has asked to stop.
    quiet: show no progress. world: which of several processes this is; those but the first write
    nothing. phases: the fits that have ended; training: one is at work. replaying: the paper's code
    has not yet come to where it was resumed, so what it logs is in metrics.jsonl already.
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
        self.training = False
        self.replaying = False
        self.lines = 0  # in metrics.jsonl
        self._lock: IO[str] | None = None
        self._metrics: IO[str] | None = None

    @property
    def device(self) -> torch.device:
        """The device that the config's `device` means here. Raises ConfigError: there is none."""
        device = find_device(self.config.device)
        if self.world.size > 1 and device == torch.device("cuda"):
            return torch.device("cuda", self.world.local_rank)
        return device

    def asset(self, name: str) -> Path:
        """The folder of a dataset or model that the member's pyproject names. Raises RunError."""
        if name not in self.record.assets:
            raise RunError(
                f"{self.record.paper}: no dataset or model {name!r} under [tool.research] in its "
                f"pyproject.toml.{did_you_mean(name, self.record.assets)}"
            )
        return asset_folder(name, self.record.assets[name])

    def log(self, step: int, metrics: Mapping[str, float | None]) -> None:
        """Add a line to metrics.jsonl; it is with the system when this returns.

        `speed/*` and `memory/*` are taken for numbers of the machine, which no comparison of runs
        looks at. Raises MetricError for what is no number, or a name that is the record's own.
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

    def checkpoint_folder(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / CHECKPOINTS / f"step-{step:08d}"

    def checkpoints(self) -> list[Path]:
        """The folders of the checkpoints on disk, oldest first."""
        return checkpoint_folders(self.folder)

    def last_checkpoint(self) -> Path | None:
        """The newest sound checkpoint; damaged ones are passed over with a warning."""
        for folder in reversed(self.checkpoints()):
            try:
                verify_checkpoint(folder)
            except CheckpointError as error:
                say(f"warning: {error}; trying the one before")
            else:
                return folder
        return None

    def init_weights(self) -> Path | None:
        """The checkpoint that `init_from` says to start from; None where it says nothing.

        Raises RunError when that run, or a sound checkpoint of it, isn't there.
        """
        if not self.config.init_from:
            return None
        folder = find_parent(self.record.paper, self.config.init_from)
        checkpoints = checkpoint_folders(folder)
        if not checkpoints:
            raise RunError(f"init_from: {folder} holds no checkpoint")
        return checkpoints[-1]

    def load_weights(self, model: Model) -> Model:
        """Fill model from the last checkpoint and put it on the run's device, in evaluation mode.

        Raises RunError when there is none, CheckpointError when it is damaged or of another model:
        an earlier one never stands in for it.
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
        RunError when the run was trained already.
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
        with self._held(), assets, follow_metrics(self.folder, self.config):
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
            with suppress(OSError):  # a full disk again: it was said where the line was written
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
            self._release()

    def _hold(self) -> None:
        """Lock the run for this process: a lock that is free means that nobody is at work."""
        self._lock = lock_run(self.folder, "a+", fcntl.LOCK_EX)
        if self._lock is None:
            holder = (self.folder / LOCK).read_text(encoding="utf-8").strip()
            raise RunError(f"{self.folder}: another process is at work on this run ({holder})")
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {host_name()}")
        self._lock.flush()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def start_run(
    experiment: Experiment,
    config: TrainConfig,
    assets: Mapping[str, str] | None = None,
    name: str | None = None,
    command: Sequence[str] = (),
) -> Run:
    """A new run of an experiment: its folder with record, config and source archive.

    assets: name -> revision of the data it uses. Two runs started at once get folders of their own.
    Raises ConfigError when the device isn't there, RequirementError when an internal package isn't
    of the version required, StorageError.
    """
    find_device(config.device)
    member = experiment.member
    outputs = get_outputs_dir()
    attempt = _attempt(command, member)
    record = RunRecord(
        id="",
        paper=member.name,
        experiment=experiment.name,
        name=name,
        started=attempt.time,
        command=list(command),
        seed=config.seed,
        fingerprint=fingerprint(experiment, config, assets or {}),
        **_code(member),
        assets=dict(assets or {}),
        environment=attempt.environment,
        attempts=[attempt],
    )
    if config.init_from:
        record.parent = read_record(find_parent(member.name, config.init_from)).id
    # A re-run's parent is the run that is run again; init_from stands in the config beside it.
    record.parent = os.environ.get(PARENT) or record.parent
    while True:
        record.id = _run_id(experiment, config, name)
        folder = outputs / member.name / record.id
        run = Run(folder, record, config)
        try:
            with new_folder(folder) as partial:
                write_json(partial / RECORD, record_as_json(record))
                write_bytes(partial / CONFIG, dump_yaml(config.model_dump(mode="json")).encode())
                (partial / METRICS).touch()
                run.folder = partial
                run._hold()  # before anyone can see the folder, so that it never looks dead
        except FileExistsError:  # another run was started in the same millisecond
            run._release()
            continue
        run.folder = folder
        return run


def resume_run(
    run: Run,
    experiment: Experiment,
    config: TrainConfig,
    command: Sequence[str] = (),
    any_code: bool = False,
) -> None:
    """Make an ended run ready to go on in its folder, with config in place of its own.

    Raises RunError: another process is at work on it, or its code, data or packages have changed
    since (any_code allows that; the record then has no fingerprint and holds the present code).
    """
    if run.record.status == "completed" and run.record.seal != compute_seal(run.folder, run.record):
        raise RunError(
            f"{run.folder}: its seal is gone or doesn't fit: record, config.yaml, metrics.jsonl or "
            "weights were changed after it ended. Going on would seal what nobody trained: start a "
            "new run."
        )
    changed = _trains_otherwise(run, experiment)
    if changed and not any_code:
        raise RunError(
            f"{run.record.id} can't go on, because what it runs has changed since:\n  "
            + "\n  ".join(what_changed(run, experiment))
            + "\nPut that back, or start a new run, or say --any-code to go on all the same: the "
            "run is then no longer of one code, and stands for none."
        )
    run._hold()
    try:
        _reopen(run, experiment, config, command, changed)
    except BaseException:
        run._release()
        raise


def open_run(experiment: Experiment, text: str | None, statuses: Sequence[Status]) -> Run:
    """A recorded run of an experiment, with its own config.

    text: its id, the beginning of one, or its folder; by default the newest in one of the statuses.
    Raises RunError when there is none, or it is of another experiment or damaged.
    """
    paper = experiment.member.name
    folder = find_run(paper, text) if text else last_run(paper, experiment.name, statuses)
    if folder is None:
        raise RunError(f"no run of {experiment.name} is {' or '.join(statuses)}")
    record = read_record(folder)
    if (record.paper, record.experiment) != (paper, experiment.name):
        raise RunError(f"{folder}: is a run of {record.experiment}, not of {experiment.name}")
    return Run(folder, record, load_config(experiment, file=folder / CONFIG))


def has_changed(run: Run, experiment: Experiment) -> bool:
    """Whether anything of the experiment isn't as it was: what trains, or other code beside it."""
    return _trains_otherwise(run, experiment) or bool(_changed_files(run, experiment))


def _trains_otherwise(run: Run, experiment: Experiment) -> bool:
    """Whether the experiment is no longer the one that the run was of: code, packages or data."""
    return fingerprint(experiment, run.config, run.record.assets) != run.record.fingerprint


def _changed_files(run: Run, experiment: Experiment) -> list[str]:
    archive = code_archive(run.record.source)
    packages = workspace_packages(experiment.member)
    return changed_files(experiment.member, packages, archive) if archive.is_file() else []


def what_changed(run: Run, experiment: Experiment) -> list[str]:
    """The files and packages that differ from those of a run, at most ten files."""
    files = _changed_files(run, experiment)
    versions = dependency_closure(experiment.member)
    moved = [
        f"{name} {then} -> {versions.get(name, 'not installed')}"
        for name, then in run.record.packages.items()
        if versions.get(name) != then
    ]
    return [*files[:10], *moved] or [
        "its config.yaml, a package that those it names depend on, or how fingerprints are made: "
        "it was recorded by another research-train"
    ]


def join_run(folder: Path, resume_from: Path | None, experiment: Experiment, world: World) -> Run:
    """The run that rank 0 has made, for another process of the same training."""
    config = load_config(experiment, file=folder / CONFIG)
    run = Run(folder, read_record(folder), config, quiet=True)
    run.resume_from, run.world = resume_from, world
    return run


def find_parent(paper: str, text: str) -> Path:
    """The folder of the run that `init_from` names: an id of the same paper, or PAPER/ID."""
    other, slash, name = text.rpartition("/")
    if slash and not (Path(text) / RECORD).is_file():
        return find_run(other, name)
    return find_run(paper, text)


def _reopen(
    run: Run, experiment: Experiment, config: TrainConfig, command: Sequence[str], changed: bool
) -> None:
    """Turn the record, held by this process, back into one of a running run."""
    record = run.record
    if read_record(run.folder) != record:
        raise RunError(f"{record.id} was changed by another process just now. Look at it again.")
    record.fingerprint = None if changed else fingerprint(experiment, config, record.assets)
    for name, value in _code(experiment.member).items():
        setattr(record, name, value)
    record.status, record.ended, record.error, record.seal = "running", None, None, None
    record.metrics = {}
    before, ran = record.attempts[-1].environment, record.attempts[-1].packages
    record.attempts.append(_attempt(command, experiment.member))
    record.attempts[-1].changed = _changed_keys(run.config, config)
    now = record.attempts[-1].environment
    if differences := [
        f"{name} {then} -> {getattr(now, name, None)}"
        for name, then in before
        if then != getattr(now, name, None)
        and not (name == "hash_seed" and then is None)  # not recorded yet
    ]:
        print(
            f"warning: not the same machine ({', '.join(differences)}): last bits may differ",
            file=sys.stderr,
        )
    runs = record.attempts[-1].packages
    if moved := [f"{k} {ran[k]} -> {runs[k]}" for k in runs if k in ran and ran[k] != runs[k]]:
        print(f"warning: it goes on under other versions: {', '.join(moved)}", file=sys.stderr)
    run.config = config
    run.resume_from = run.last_checkpoint()
    _set_aside(run)
    run.lines = _cut_metrics(run.folder / METRICS, run.resume_from)
    run.replaying = run.resume_from is not None
    write_bytes(run.folder / CONFIG, dump_yaml(config.model_dump(mode="json")).encode())
    run.save()


def _changed_keys(then: TrainConfig, now: TrainConfig) -> dict[str, list[Any]]:
    """The keys that aren't as they were -> both values."""
    before, after = then.model_dump(mode="json"), now.model_dump(mode="json")
    return {
        key: [before.get(key), value] for key, value in after.items() if before.get(key) != value
    }


def _set_aside(run: Run) -> None:
    """Make room where training will write again: damaged checkpoints are renamed, never removed."""
    sound = run.resume_from
    for folder in run.checkpoints():
        if sound is None or folder > sound:
            folder.rename(folder.with_name(f"damaged-{len(run.record.attempts)}-{folder.name}"))
    for partial in (run.folder / CHECKPOINTS).glob(".*.partial"):  # of a killed process
        shutil.rmtree(partial)


def _cut_metrics(path: Path, checkpoint: Path | None) -> int:
    """Drop the lines from after a checkpoint, and a last line that was cut off; returns how many
    stay."""
    step = int(checkpoint.name.removeprefix("step-")) if checkpoint else -1
    kept = []
    try:
        lines = lines_before(checkpoint) if checkpoint else None
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)[:lines]:
            if line.endswith("\n") and (json.loads(line)["step"] <= step or lines is not None):
                kept.append(line)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({error}). Start a new run.") from error
    write_bytes(path, "".join(kept).encode())
    return len(kept)


def _count(step: object) -> int:
    try:
        count = index(step)  # type: ignore[arg-type]  # NumPy's and torch's integers have it
    except TypeError:
        count = -1
    if count < 0:
        raise MetricError(f"step {step!r}: updates done are a whole number, 0 or more")
    return count


class _Code(TypedDict):
    """The fields of a record that say which code runs."""

    git: GitState
    source: str
    lock_sha256: str | None
    packages: dict[str, str]
    releases: dict[str, str]


def _code(member: Member) -> _Code:
    packages = reached_packages(member)
    wanted = [*required_by(member), *(r for name in packages for r in requirements_of(name))]
    main = {member.distribution, *(canonicalize_name(each.name) for each in wanted)}
    versions = dependency_closure(member)
    lock = member.workspace / "uv.lock"
    return {
        "git": git_state(member.workspace),
        "source": archive_source(member, workspace_packages(member), get_outputs_dir() / SOURCES),
        "lock_sha256": sha256_file(lock) if lock.is_file() else None,
        "packages": {name: version for name, version in versions.items() if name in main},
        "releases": running_releases(member),
    }


def _attempt(command: Sequence[str], member: Member) -> Attempt:
    return Attempt(
        time=utc_now(),
        command=list(command),
        host=host_name(),
        environment=describe_environment(),
        packages=_versions_that_run(member),
    )


def _versions_that_run(member: Member) -> dict[str, str]:
    """As the first line that `train` prints: `0.1.0 (release)`, `0.2.0.dev0`."""
    released = running_releases(member)
    return {
        name: f"{version} (release)" if name in released else version
        for name, version in reached_packages(member).items()
    }


def _run_id(experiment: Experiment, config: TrainConfig, name: str | None) -> str:
    """Sorts by time, and says what it is: `20261124-081530.417-double-descent-seed3`."""
    moment = datetime.now(UTC)
    words = [f"{moment:%Y%m%d-%H%M%S}.{moment.microsecond // 1000:03d}"]
    if experiment.name != experiment.member.name:
        words.append(experiment.name.removeprefix(f"{experiment.member.name}."))
    if name:
        words.append(run_label(name))
    words.append(f"seed{config.seed}")
    return "-".join(words)
