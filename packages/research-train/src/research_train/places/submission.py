"""Submit a training to a cluster, with the code and the data of this moment.

assets/outputs/.reruns/<sha256>/          the unpacked code with its environment, as for a rerun
assets/outputs/.jobs/<time>-<experiment>/ job.sh, log.txt, and the config.yaml of --config

All of it must be seen by every node under the same path, as is usual for home and data folders.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from research_data import UsageError, get_outputs_dir
from research_data.durable import new_folder
from research_data.hub.run_pins import with_pins

from research_train.errors import CommandError
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.experiment.needs import prepare_assets
from research_train.history.unpacked_code import UnpackedCode, unpack_code
from research_train.places import slurm
from research_train.places.cluster_options import cluster_options
from research_train.processes.children import Children
from research_train.record.running_code import present_code
from research_train.record.trackers import refuse_unknown_trackers

JOBS = ".jobs"


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
    _make_environment(code)
    folder = get_outputs_dir() / JOBS / f"{datetime.now(UTC):%Y%m%d-%H%M%S.%f}-{experiment.name}"
    with new_folder(folder) as partial:
        (partial / slurm.LOG).touch()
        if options.config:
            shutil.copyfile(options.config, partial / "config.yaml")
            options.config = folder / "config.yaml"
    task = slurm.Task(
        name=experiment.name,
        program=[
            str(code.folder / ".venv" / "bin" / "train"),
            *("--on", "slurm", "--paper", code.distribution),
            *words_of(options),
        ],
        environment=with_pins(code.environment(), assets),
        at=code.folder,
        folder=folder,
    )
    try:
        return Submitted(slurm.start(task, asked), task.log, code.folder)
    except BaseException:
        shutil.rmtree(folder)
        raise


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


def _make_environment(code: UnpackedCode) -> None:
    """Install what the code's lock says beside it, here: a node may have no network."""
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv is None:
        raise CommandError("uv isn't found on PATH; it is needed to set up the job's environment")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [uv, "sync", "--frozen", "--python", python, "--package", code.distribution]
    with Children() as children:
        child = children.start(
            [*command, "--quiet"],
            code.environment(),
            whole_group=True,
            cwd=code.folder,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
        )
        child.wait()
    children.raise_if_stopped()
    if child.returncode:
        raise CommandError(
            f"the job's environment could not be made: `uv {' '.join(command[1:])}` in "
            f"{code.folder} ended with exit code {child.returncode}; see its messages above"
        )
