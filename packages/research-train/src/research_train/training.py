"""Train an experiment in a new or a resumed run, and record how it ended."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from research_data.errors import UsageError

from research_train.errors import ExperimentError, MetricError, RunError
from research_train.experiment.config import TrainConfig
from research_train.experiment.config_values import COMMAND_LINE, load_config
from research_train.experiment.members import Experiment
from research_train.experiment.needs import link_needs, prepare_assets
from research_train.processes.beside import Beside
from research_train.processes.world import this_world
from research_train.record.folders import CONFIG
from research_train.record.labels import cleaned_labels
from research_train.record.lock import run_status
from research_train.record.record import recorded_metrics
from research_train.record.running_code import RunningCode, running_code
from research_train.record.trackers import refuse_unknown_trackers

if TYPE_CHECKING:
    from research_train.record.run import Run

# The config keys that a resume may change: how long it runs, what it shows and what it keeps.
RESUMABLE_KEYS = (
    "checkpoint_failure",
    "keep_checkpoints",
    "keep_every",
    "max_minutes",
    "steps",
    "tensorboard",
    "trackers",
    "wandb",
)

# record/run.py and random_state.py import torch, which takes seconds, so they are imported after
# the config and data have been checked.


def train_run(run: "Run", experiment: Experiment) -> None:
    """Train a started or resumed run with the paper's `train(config, run)`.

    Signals stop it as Ctrl-C does, and so does the end of its `max_minutes`; its outcome is in
    `run.record`. Raises what the training raises.
    """
    train = _seeded_function(experiment, "train", run.config)
    with run.stop.listening(run.config.max_minutes), run.attempt():
        metrics = train(run.config, run)
        run.record.metrics = _final_metrics(experiment, metrics)


def new_run(
    experiment: Experiment,
    overrides: Sequence[str] = (),
    config_file: Path | None = None,
    name: str | None = None,
    rebuild_data: bool = False,
    link_data: bool = False,
    quiet: bool = True,
    command: Sequence[str] = (),
    group: str | None = None,
    tags: Sequence[str] = (),
    note: str | None = None,
    code: Callable[[], RunningCode] | None = None,
) -> "Run":
    """A new run of an experiment, ready for `train_run`: config read, data there, folder made.

    overrides: `key=value` words. config_file: a YAML in place of the experiment's. rebuild_data:
    make damaged data anew. link_data: link the data into the member's folder, as `train` does.
    quiet: show no progress of downloads. group, tags, note: words for its record, to find and
    explain it by. code: gives `running_code(experiment)`, where that is known already.
    Raises UsageError for an empty group or tag and an unknown tracker, ConfigError,
    DamagedAssetError, HubError, RequirementError, StorageError.
    """
    labels = cleaned_labels(group, tags, note)
    config = load_config(experiment, overrides, config_file)
    refuse_unknown_trackers(config.trackers)
    # While torch is imported.
    found = code or Beside(lambda: running_code(experiment)).result
    _seeded_function(experiment, "train", config)  # fails before a folder is made
    if config.compile == "step":
        from research_train.loop.compiled_step import refuse_config

        refuse_config(config, this_world())
    if config.parallel == "fsdp":
        from research_train.loop.sharded import refuse_config as refuse_sharded

        refuse_sharded(config, this_world())
    assets = prepare_assets(experiment, rebuild_data, quiet, config=config)
    if link_data:
        link_needs(experiment.member, assets)
    from research_train.record.start import start_run

    return start_run(experiment, config, assets, name, command, found, *labels)


def resumed_run(
    experiment: Experiment,
    run_name: str | None = None,
    overrides: Sequence[str] = (),
    any_code: bool = False,
    rebuild_data: bool = False,
    command: Sequence[str] = (),
) -> "Run":
    """A run to continue in its folder, ready for `train_run`.

    run_name: its id or the beginning of it, or its folder; by default the last run that didn't
    finish. overrides: only RESUMABLE_KEYS, and `steps` only upwards. any_code: resume even if the
    code has changed. Raises RunError if there is nothing to resume or it can't be resumed.
    """
    for word in overrides:
        if word.partition("=")[0] not in RESUMABLE_KEYS:
            raise UsageError(
                f"{COMMAND_LINE}: {word!r}: a resumed run keeps its config; only "
                f"{', '.join(RESUMABLE_KEYS)} may differ. Start a new run for anything else."
            )
    from research_train.record.resume import open_run, resume_run

    run = open_run(experiment, run_name, ["interrupted", "failed"])
    config = load_config(experiment, overrides, run.folder / CONFIG)
    refuse_unknown_trackers(config.trackers)
    _seeded_function(experiment, "train", config)
    then, now = run.config.steps, config.steps
    if now < then:
        raise UsageError(
            f"{COMMAND_LINE}: steps = {now}: a resumed run can only get longer than {then} steps"
        )
    if run_status(run.folder, run.record) == "completed" and now == then:
        raise RunError(
            f"{run.record.id} completed its {then} steps, so there is nothing to resume. "
            "Add steps=N to train it longer."
        )
    assets = prepare_assets(experiment, rebuild_data, config=config)
    if assets != run.record.assets:
        raise RunError(
            f"{run.record.id} was trained on {run.record.assets}, but {experiment.name} now "
            f"needs {assets}. Start a new run."
        )
    resume_run(run, experiment, config, command, any_code)
    return run


def _seeded_function(
    experiment: Experiment, part: str, config: TrainConfig
) -> Callable[..., object]:
    """A function of a paper; seeds come first, as its module may draw random numbers on import."""
    from research_train.state.random_state import seed_everything

    seed_everything(config.seed, config.deterministic)
    return experiment.function(part)


def _final_metrics(experiment: Experiment, returned: object) -> dict[str, float | None]:
    """What the paper's train returned, as plain numbers. Raises ExperimentError when it is none."""
    if not isinstance(returned, Mapping):
        raise ExperimentError(
            f"{experiment.module}.train returned {type(returned).__name__}, not its metrics"
        )
    try:
        return recorded_metrics(returned)
    except MetricError as error:
        raise ExperimentError(f"{experiment.module}.train returned bad metrics: {error}") from error
