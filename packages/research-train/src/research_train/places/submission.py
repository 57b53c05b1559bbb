"""Submit trainings to a cluster, with the code and the data of this moment.

assets/outputs/.reruns/<sha256>/          the unpacked code with its environment, as for a rerun
assets/outputs/.jobs/<time>-<name>/       job_folders.py; with the config.yaml of --config

All of it must be seen by every node under the same path, as is usual for home and data folders.
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from research_data import UsageError
from research_data.durable import new_folder
from research_data.hub.run_pins import with_pins
from research_data.shown import first_few, say

from research_train.errors import CommandError
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.experiment.needs import prepare_assets
from research_train.history.unpacked_code import UnpackedCode, unpack_code
from research_train.places import slurm
from research_train.places.cluster_options import ClusterOptions, cluster_options
from research_train.places.job_environment import make_environment
from research_train.places.job_folders import describe, new_folder_path, set_job
from research_train.record.running_code import present_code
from research_train.record.trackers import refuse_unknown_trackers


@dataclass(frozen=True)
class Submitted:
    """A job. log: where what it prints will be. code: the folder that it runs."""

    job: str
    log: Path
    code: Path


def submit(
    experiment: Experiment, options: argparse.Namespace, overrides: Sequence[str]
) -> Submitted:
    """Submit `train` with these options and `key=value` words.

    What is wrong with the words, the config or the data is found here, not hours later on a node.
    Raises ConfigError, CommandError, HubError, StorageError, UsageError.
    """
    asked = cluster_options(experiment.member.folder)
    slurm.refuse_without_slurm()
    if options.resume == "":
        raise UsageError("--on slurm --resume RUN: name the run; the last one may have changed")
    assets = {}
    if options.resume is None:
        config = load_config(experiment, overrides, options.config)
        refuse_unknown_trackers(config.trackers)
        assets = prepare_assets(experiment, options.rebuild_data, options.quiet, config=config)
    code = unpack_code(present_code(experiment.member)["source"], experiment.name)
    if other := make_environment(code, [experiment]):
        say(f"note: by its uv.lock, the job's environment has {first_few(other)}")
    folder = new_folder_path(experiment.name)
    with new_folder(folder) as partial:
        describe(partial, experiment.member.name, [words_of(options)])
        (partial / slurm.LOG).touch()
        if options.config:
            shutil.copyfile(options.config, partial / "config.yaml")
            options.config = folder / "config.yaml"
    task = slurm.Task(
        name=experiment.name,
        program=[*_train(code), *words_of(options)],
        environment=with_pins(code.environment(), assets),
        at=code.folder,
        folder=folder,
    )
    return Submitted(_start(task, asked), slurm.log_of(folder), code.folder)


@dataclass(frozen=True)
class Wanted:
    """A run that an array is to make. key: what tells later that it is this run."""

    words: tuple[str, ...]
    key: str


def submit_array(
    experiments: Sequence[Experiment], wanted: Sequence[Wanted], at_once: int | None = None
) -> list[str]:
    """Submit trainings of a paper as one job array, or as several where one can't hold them.

    experiments: those that are trained; their data is here. at_once: how many of an array run at
    most. Returns the jobs' numbers. Raises CommandError, also where the job's packages would not be
    those of this environment: the runs would be of no use here. Raises RunError, StorageError.
    """
    member = experiments[0].member
    asked = cluster_options(member.folder)
    most = slurm.largest_array()
    code = unpack_code(present_code(member)["source"], experiments[0].name)
    if other := make_environment(code, experiments):
        raise CommandError(
            f"by uv.lock, a job would have {first_few(other)}, so its runs would not count here. "
            "Run `uv sync --all-packages`, and this again."
        )
    jobs = []
    for first in range(0, len(wanted), most):
        part = wanted[first : first + most]
        folder = new_folder_path(member.name)
        with new_folder(folder) as partial:
            describe(partial, member.name, [e.words for e in part], [e.key for e in part])
        task = slurm.Task(
            name=member.name,
            program=_train(code),
            environment=code.environment(),
            at=code.folder,
            folder=folder,
            elements=[(*each.words, "--quiet") for each in part],
            at_once=at_once,
        )
        jobs.append(_start(task, asked))
    return jobs


def _train(code: UnpackedCode) -> list[str]:
    train = str(code.folder / ".venv" / "bin" / "train")
    return [train, "--on", "slurm", "--paper", code.distribution]


def _start(task: slurm.Task, asked: ClusterOptions) -> str:
    """Submit a task whose folder is there, and write its number into that; returns the number."""
    try:
        job = slurm.start(task, asked)
    except BaseException:
        shutil.rmtree(task.folder)
        raise
    set_job(task.folder, job)
    return job


def words_of(options: argparse.Namespace) -> list[str]:
    """The words of `train` that give these options, without --on and --paper."""
    words = list(options.words)
    for name in ("config", "name", "group", "note", "resume", "nproc", "profile"):
        value = getattr(options, name)
        if value is not None:
            words.append(f"--{name}={value}")
    words += [f"--tag={tag}" for tag in options.tag]
    for name in ("any_code", "rebuild_data", "quiet", "json"):
        if getattr(options, name):
            words.append(f"--{name.replace('_', '-')}")
    return words
