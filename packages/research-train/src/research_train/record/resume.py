"""Open a recorded run, see what has changed since, and make it ready to go on."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from research_data.durable import write_bytes

from research_train.code.fingerprint import fingerprint
from research_train.errors import RunError
from research_train.experiment.config import TrainConfig
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.record.finding import find_run_of
from research_train.record.folders import (
    CHECKPOINTS,
    CONFIG,
    METRICS,
)
from research_train.record.media import cut_media
from research_train.record.record import (
    Status,
    compute_seal,
    read_record,
)
from research_train.record.resolved_config import write_config
from research_train.record.run import Run
from research_train.record.running_code import present_code, trains_otherwise, what_changed
from research_train.record.start import new_attempt
from research_train.state.phases import lines_before


def open_run(experiment: Experiment, text: str | None, statuses: Sequence[Status]) -> Run:
    """A recorded run of an experiment, with its own config.

    text: its id, the beginning of one, or its folder; by default the newest in one of the statuses.
    Raises RunError when there is none, or it is of another experiment or damaged.
    """
    folder, record = find_run_of(experiment, text, statuses)
    return Run(folder, record, load_config(experiment, file=folder / CONFIG))


def resume_run(
    run: Run,
    experiment: Experiment,
    config: TrainConfig,
    command: Sequence[str] = (),
    any_code: bool = False,
) -> None:
    """Make an ended run ready to continue in its folder, with config in place of its own.

    Raises RunError if another process is at work on it, or if its code, data or packages have
    changed since (any_code allows that; the record then has no fingerprint and holds the present
    code).
    """
    if run.record.status == "completed" and run.record.seal != compute_seal(run.folder, run.record):
        raise RunError(
            f"{run.folder}: its seal is missing or doesn't fit: record, config.yaml, metrics.jsonl "
            "or weights were changed after it ended, so a new seal would be false. Start a new run."
        )
    changed = trains_otherwise(run.record, run.config, experiment)
    if changed and not any_code:
        raise RunError(
            f"{run.record.id} can't be resumed, because its code or data has changed since:\n  "
            + "\n  ".join(what_changed(run.record, experiment))
            + "\nUndo these changes, or start a new run, or add --any-code to continue anyway: the "
            "run is then no evidence for any version of the code."
        )
    run.hold()
    try:
        _reopen(run, experiment, config, command, changed)
    except BaseException:
        run.release()
        raise


def _reopen(
    run: Run, experiment: Experiment, config: TrainConfig, command: Sequence[str], changed: bool
) -> None:
    """Turn the record, held by this process, back into one of a running run."""
    record = run.record
    if read_record(run.folder) != record:
        raise RunError(f"{record.id} was changed by another process just now. Try again.")
    record.fingerprint = None if changed else fingerprint(experiment, config, record.assets)
    for name, value in present_code(experiment.member).items():
        setattr(record, name, value)
    record.status, record.ended, record.error, record.seal = "running", None, None, None
    record.metrics = {}
    before, ran = record.attempts[-1].environment, record.attempts[-1].packages
    record.attempts.append(new_attempt(command, experiment.member))
    record.attempts[-1].changed = _changed_keys(run.config, config)
    now = record.attempts[-1].environment
    if differences := [
        f"{name} {then} -> {getattr(now, name, None)}"
        for name, then in before
        if then != getattr(now, name, None)
        and not (name == "hash_seed" and then is None)  # older records lack it
    ]:
        print(
            f"warning: this machine differs from before ({', '.join(differences)}), so the last "
            "bits of numbers may differ",
            file=sys.stderr,
        )
    runs = record.attempts[-1].packages
    if moved := [f"{k} {ran[k]} -> {runs[k]}" for k in runs if k in ran and ran[k] != runs[k]]:
        print(
            f"warning: the run continues under other versions: {', '.join(moved)}", file=sys.stderr
        )
    run.config = config
    run.resume_from = run.last_checkpoint()
    _set_aside(run)
    run.lines = _cut_metrics(run.folder / METRICS, run.resume_from)
    cut_media(run.folder, _step_of(run.resume_from))
    run.replaying = run.resume_from is not None
    write_config(run.folder, record, config)
    run.save()


def _changed_keys(then: TrainConfig, now: TrainConfig) -> dict[str, list[Any]]:
    """The config keys that have changed -> [old value, new value]."""
    before, after = then.model_dump(mode="json"), now.model_dump(mode="json")
    return {
        key: [before.get(key), value] for key, value in after.items() if before.get(key) != value
    }


def _set_aside(run: Run) -> None:
    """Rename damaged checkpoints, which are never removed, and remove half-written ones."""
    sound = run.resume_from
    for folder in run.checkpoints():
        if sound is None or folder > sound:
            folder.rename(folder.with_name(f"damaged-{len(run.record.attempts)}-{folder.name}"))
    for partial in (run.folder / CHECKPOINTS).glob(".*.partial"):  # of a killed process
        shutil.rmtree(partial)


def _cut_metrics(path: Path, checkpoint: Path | None) -> int:
    """Drop the lines after a checkpoint and an incomplete last one; returns how many are left."""
    step = _step_of(checkpoint)
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


def _step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint; -1 for none."""
    return int(checkpoint.name.removeprefix("step-")) if checkpoint else -1
