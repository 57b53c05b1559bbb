"""The commands `train` and `evaluate`, from the words typed to the paper's own function.

    uv run --package paper-mnist1d train model=cnn seed=3
"""

import argparse
import errno
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from research_data import ResearchError, StorageError, UsageError

from research_train.config import COMMAND_LINE, TrainConfig, describe_keys, load_config
from research_train.errors import Interrupted, MemberError, RunError
from research_train.members import Experiment, Member, installed_members
from research_train.requirements import reached_packages
from research_train.which_paper import which_member

if TYPE_CHECKING:
    from research_train.run import Run

# All that may differ when a run goes on: how long it is, what it shows, what it keeps.
RESUMABLE_KEYS = frozenset({"steps", "tensorboard", "wandb", "checkpoint_every", "keep_checkpoints"})

KEY_VALUE = "key=value"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are UsageErrors like everyone else's."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. Config keys are written {KEY_VALUE}; see `{self.prog} --help`")


def train_command() -> int:
    """The console script `train`."""
    return _at_the_edge(_train, sys.argv[1:])


def evaluate_command() -> int:
    """The console script `evaluate`."""
    return _at_the_edge(_evaluate, sys.argv[1:])


def _train(words: Sequence[str]) -> int:
    parser = _parser("train", "Train an experiment of a paper; the run is recorded under assets.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML in place of the paper's")
    parser.add_argument("--name", help="a name for the run, to find it by")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="go on with a run; without RUN the last that didn't finish",
    )
    parser.add_argument(
        "--any-code", action="store_true", help="resume though the code has changed since"
    )
    parser.add_argument(
        "--rebuild-data", action="store_true", help="make damaged generated data anew"
    )
    options = parser.parse_args(_end_bare_resume(words))
    experiment, overrides = _experiment_and_overrides(parser, options)
    _refuse_many_processes()
    if options.resume is None:
        run = _new_run(experiment, overrides, options)
    else:
        run = _resumed_run(experiment, overrides, options)
    run.quiet = options.quiet
    _say(options, f"run {run.folder}")
    with run.stop.listening(), run.attempt():
        run.record.metrics = dict(experiment.function("train")(run.config, run))
    if options.json:
        result = {"run": str(run.folder), "status": "completed", "metrics": run.record.metrics}
        print(json.dumps(result))
    else:
        for name, value in run.record.metrics.items():
            _say(options, f"{name} = {value:.4f}")
        print(run.folder)
    return 0


def _new_run(
    experiment: Experiment, overrides: Sequence[str], options: argparse.Namespace
) -> "Run":
    config = load_config(experiment, overrides, options.config)
    from research_train.needs import prepare_assets  # these import torch: after the config's errors
    from research_train.run import start_run

    assets = prepare_assets(experiment.member, options.rebuild_data)
    return start_run(experiment, config, assets, options.name, _command())


def _resumed_run(
    experiment: Experiment, overrides: Sequence[str], options: argparse.Namespace
) -> "Run":
    if options.config or options.name:
        raise UsageError("--resume goes on with the run's own config and name")
    _refuse_other_keys(overrides)
    from research_train.needs import prepare_assets
    from research_train.record import CONFIG, read_record
    from research_train.run import Run, find_run, last_run, resume_run, run_status

    paper = experiment.member.name
    if options.resume:
        folder = find_run(paper, options.resume)
    else:
        found = last_run(paper, experiment.name, ["interrupted", "failed"])
        if found is None:
            raise RunError(
                f"nothing to resume: no run of {experiment.name} was interrupted or failed"
            )
        folder = found
    record = read_record(folder)
    if record.experiment != experiment.name:
        raise RunError(f"{folder}: is a run of {record.experiment}, not of {experiment.name}")
    before = load_config(experiment, [], folder / CONFIG)
    config = load_config(experiment, overrides, folder / CONFIG)
    status = run_status(folder, record)
    if status == "completed" and config.steps <= before.steps:
        raise RunError(
            f"nothing to resume: {record.id} completed its {before.steps} steps. "
            f"Add steps=N to train it longer."
        )
    if config.steps < before.steps:
        raise UsageError(
            f"{COMMAND_LINE}: a resumed run can only get longer: it has steps = {before.steps}, "
            f"asked for {config.steps}"
        )
    assets = prepare_assets(experiment.member, options.rebuild_data)
    if assets != record.assets:
        raise RunError(f"{record.id} was trained on {record.assets}, the paper now needs {assets}")
    run = Run(folder, record, before)
    resume_run(run, experiment, config, _command(), options.any_code)
    return run


def _evaluate(words: Sequence[str]) -> int:
    parser = _parser("evaluate", "Evaluate a finished run: print its numbers, draw its figures.")
    parser.add_argument("--run", metavar="RUN", help="default: the last that completed")
    options = parser.parse_args(words)
    experiment, overrides = _experiment_and_overrides(parser, options)
    if overrides:
        raise UsageError(f"evaluate takes no {KEY_VALUE}: a run is evaluated with its own config")
    from research_train.evaluation import evaluate_run, evaluation_lines, figures_of
    from research_train.needs import prepare_assets
    from research_train.record import CONFIG, read_record
    from research_train.run import Run, find_run, last_run

    paper = experiment.member.name
    if options.run:
        folder = find_run(paper, options.run)
    else:
        found = last_run(paper, experiment.name, ["completed"])
        if found is None:
            raise RunError(f"no run of {experiment.name} has completed yet. `train` makes one.")
        folder = found
    record = read_record(folder)
    if record.experiment != experiment.name:
        raise RunError(f"{folder}: is a run of {record.experiment}, not of {experiment.name}")
    prepare_assets(experiment.member)
    run = Run(folder, record, load_config(experiment, [], folder / CONFIG))
    _say(options, f"run {folder}")
    evaluation = evaluate_run(run, experiment)
    if options.json:
        print(json.dumps({"run": str(folder), "metrics": evaluation.metrics}))
        return 0
    for line in evaluation_lines(evaluation):
        print(line)
    for figure in figures_of(run):
        print(figure)
    return 0


def _parser(command: str, description: str) -> _Parser:
    parser = _Parser(prog=command, description=description, add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--paper", metavar="NAME", help="which paper; see below")
    parser.add_argument("--quiet", action="store_true", help="no progress, only the result")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")
    parser.add_argument("-h", "--help", action="store_true", help="show this and the config keys")
    return parser


def _experiment_and_overrides(
    parser: _Parser, options: argparse.Namespace
) -> tuple[Experiment, list[str]]:
    """What is to be done: the experiment, from which paper, and the `key=value` words."""
    names = [word for word in options.words if "=" not in word]
    overrides = [word for word in options.words if "=" in word]
    if len(names) > 1:
        raise UsageError(f"several experiments named: {', '.join(names)}. One at a time.")
    try:
        member = which_member(options.paper, installed_members())
        experiment = member.experiment(names[0] if names else None)
    except MemberError as error:
        if options.help:
            print(_general_help(parser) + f"\n{error}")
            sys.exit(0)
        raise
    if options.help:
        print(_general_help(parser) + "\n" + _keys_help(experiment))
        sys.exit(0)
    _say(options, _first_line(member, experiment))
    return experiment, overrides


def _first_line(member: Member, experiment: Experiment) -> str:
    packages = {**reached_packages(member), "torch": version("torch")}
    versions = ", ".join(f"{name} {number}" for name, number in packages.items())
    return f"{member.distribution} {version(member.distribution)}: {experiment.name} ({versions})"


def _general_help(parser: _Parser) -> str:
    command = parser.prog
    keys = f" [{KEY_VALUE} ...]" if command == "train" else ""
    examples = {
        "train": [
            "uv run --package paper-mnist1d train",
            "uv run --package paper-mnist1d train model=mlp seed=3",
            "train --paper mnist1d --name first-try optimizer.lr=3e-4",
            "train --resume                    # the last run that didn't finish",
        ],
        "evaluate": [
            "uv run --package paper-mnist1d evaluate",
            "evaluate --paper mnist1d --run 20261124-081530",
        ],
    }[command]
    options = parser.format_help().partition("options:")[2].strip("\n")
    return "\n".join(
        [
            f"usage: {command} [EXPERIMENT]{keys} [options]",
            "",
            parser.description or "",
            "",
            "options:",
            options,
            "",
            "The paper is the one of --paper, else of `uv run --package`, else of the working",
            "folder, else the only one installed.",
            "",
            "examples:",
            *(f"  {example}" for example in examples),
            "",
        ]
    )


def _keys_help(experiment: Experiment) -> str:
    keys = describe_keys(experiment)
    widths = [max(len(getattr(key, part)) for key in keys) for part in ("name", "value", "type")]
    lines = [f"config keys of {experiment.name} ({experiment.config_file}):"]
    for common in (False, True):
        if common:
            lines.append("keys of every experiment:")
        lines += [
            f"  {key.name:{widths[0]}}  {key.value:{widths[1]}}  {key.type:{widths[2]}}  {key.doc}"
            for key in keys
            if key.common is common
        ]
    return "\n".join(lines)


def _end_bare_resume(words: Sequence[str]) -> list[str]:
    """`--resume model=cnn` names no run: a RUN never holds `=`."""
    return [
        "--resume=" if word == "--resume" and ("=" in after or after.startswith("-")) else word
        for word, after in pairwise([*words, "-"])
    ]


def _refuse_other_keys(overrides: Sequence[str]) -> None:
    for word in overrides:
        key = word.partition("=")[0]
        if key not in RESUMABLE_KEYS:
            raise UsageError(
                f"{COMMAND_LINE}: {word!r}: a resumed run keeps its config; only "
                f"{', '.join(sorted(RESUMABLE_KEYS))} may differ. Start a new run for anything else."
            )


def _refuse_many_processes() -> None:
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "this version trains in one process; torchrun was told to start "
            f"{os.environ['WORLD_SIZE']}. Use --nproc-per-node 1."
        )


def _say(options: argparse.Namespace, line: str) -> None:
    if not options.quiet:
        print(line, file=sys.stderr)


def _command() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def _at_the_edge(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """Run a command; every error becomes one message and an exit code here and nowhere else."""
    try:
        return command(words)
    except ResearchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Interrupted as stop:
        print("stopped; `train --resume` goes on", file=sys.stderr)
        return 128 + stop.signal
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EPERM):
            print(f"error: {StorageError(Path(error.filename or '?'), error)}", file=sys.stderr)
            return 1
        traceback.print_exc()
        return 1
    except Exception:
        traceback.print_exc()
        return 1
