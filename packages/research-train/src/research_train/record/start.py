"""Start a run: create its folder with record, config and source archive."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from research_data import (
    get_outputs_dir,
)
from research_data.durable import new_folder, write_json

from research_train.code.fingerprint import fingerprint
from research_train.experiment.config import TrainConfig
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment, Member
from research_train.processes.world import World
from research_train.record.environment import (
    describe_environment,
    find_device,
    host_name,
)
from research_train.record.finding import find_run
from research_train.record.folders import (
    CONFIG,
    METRICS,
    RECORD,
    run_label,
)
from research_train.record.record import (
    PARENT,
    Attempt,
    RunRecord,
    read_record,
    record_as_json,
    utc_now,
)
from research_train.record.resolved_config import write_config
from research_train.record.run import Run
from research_train.record.running_code import RunningCode, running_code
from research_train.versions.hand_over import running_releases
from research_train.versions.requirements import (
    reached_packages,
)


def start_run(
    experiment: Experiment,
    config: TrainConfig,
    assets: Mapping[str, str] | None = None,
    name: str | None = None,
    command: Sequence[str] = (),
    code: Callable[[], RunningCode] | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    note: str | None = None,
) -> Run:
    """A new run of an experiment: its folder with record, config and source archive.

    assets: name -> revision of the data it uses. code: gives `running_code(experiment)`, where that
    is being computed already. group, tags, note: what the record says of them. Two
    runs started at once get folders of their own.
    Raises ConfigError when the device isn't there, RequirementError when an internal package isn't
    of the version required, StorageError.
    """
    find_device(config.device)
    member = experiment.member
    outputs = get_outputs_dir()
    attempt = new_attempt(command, member)
    found = code() if code else running_code(experiment)
    record = RunRecord(
        id="",
        paper=member.name,
        experiment=experiment.name,
        name=name,
        started=attempt.time,
        command=list(command),
        seed=config.seed,
        fingerprint=fingerprint(experiment, config, assets or {}, found.identity),
        **found.recorded,
        assets=dict(assets or {}),
        environment=attempt.environment,
        attempts=[attempt],
        group=group,
        tags=list(tags),
        note=note,
    )
    if config.init_from:
        record.parent = read_record(find_run(member.name, config.init_from)).id
    # A re-run's parent is the run that it repeats; init_from is in the config anyway.
    record.parent = os.environ.get(PARENT) or record.parent
    while True:
        record.id = _run_id(experiment, config, name)
        folder = outputs / member.name / record.id
        run = Run(folder, record, config)
        try:
            with new_folder(folder) as partial:
                write_config(partial, record, config)
                write_json(partial / RECORD, record_as_json(record))
                (partial / METRICS).touch()
                run.folder = partial
                run.hold()  # before the folder is visible: unlocked it counts as dead
        except FileExistsError:  # another run was started in the same millisecond
            run.release()
            continue
        run.folder = folder
        return run


def join_run(folder: Path, resume_from: Path | None, experiment: Experiment, world: World) -> Run:
    """The run that rank 0 has made, for another process of the same training."""
    config = load_config(experiment, file=folder / CONFIG)
    run = Run(folder, read_record(folder), config, quiet=True)
    run.resume_from, run.world = resume_from, world
    return run


def new_attempt(command: Sequence[str], member: Member) -> Attempt:
    """An attempt that begins now, on this machine. command: the words typed."""
    return Attempt(
        time=utc_now(),
        command=list(command),
        host=host_name(),
        environment=describe_environment(),
        packages=_versions_that_run(member),
    )


def _versions_that_run(member: Member) -> dict[str, str]:
    """Versions as in the first line that `train` prints: `0.1.0 (release)`, `0.2.0.dev0`."""
    released = running_releases(member)
    return {
        name: f"{version} (release)" if name in released else version
        for name, version in reached_packages(member).items()
    }


def _run_id(experiment: Experiment, config: TrainConfig, name: str | None) -> str:
    """An id that sorts by time and names the run: `20261124-081530.417-double-descent-seed3`."""
    moment = datetime.now(UTC)
    words = [f"{moment:%Y%m%d-%H%M%S}.{moment.microsecond // 1000:03d}"]
    if experiment.name != experiment.member.name:
        words.append(experiment.name.removeprefix(f"{experiment.member.name}."))
    if name:
        words.append(run_label(name))
    words.append(f"seed{config.seed}")
    return "-".join(words)
