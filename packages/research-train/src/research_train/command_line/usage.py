"""The options of `train`, `evaluate` and `reproduce`, and their `--help`."""

import argparse
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from research_data import UsageError

from research_train.experiment.config_keys import describe_keys
from research_train.experiment.members import Experiment

KEY_VALUE = "key=value"


class CommandParser(argparse.ArgumentParser):
    """An argument parser that raises UsageError for wrong arguments."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        option = message.partition("unrecognized arguments: ")[2].split(" ")[0].lstrip("-")
        key, _, value = option.partition("=")
        example = f": {key}={value or 'VALUE'}" if key else ""
        raise UsageError(
            f"{message}. Config keys are written {KEY_VALUE}{example}; `{self.prog} --help` lists "
            "them"
        )


def train_parser() -> CommandParser:
    """What `train` takes."""
    parser = _parser("train", "Train an experiment of a paper, and record the run under assets.")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="YAML file to use instead of the experiment's own",
    )
    parser.add_argument("--name", metavar="TEXT", help="name for the run, to find it by")
    parser.add_argument("--group", metavar="TEXT", help="group of runs that this one belongs to")
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        metavar="TEXT",
        help="tag for the run; may be repeated",
    )
    parser.add_argument("--note", metavar="TEXT", help="note about the run")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="RUN",
        help="resume a run; without RUN, the last one that did not finish",
    )
    parser.add_argument(
        "--nproc",
        type=int,
        metavar="N",
        help="number of processes to train in, on this machine; batches and metrics stay the same",
    )
    _add_place(parser, "a job")
    parser.add_argument(
        "--profile",
        type=int,
        metavar="N",
        help="trace N steps into the run's folder, and list their most expensive operations",
    )
    parser.add_argument(
        "--any-code", action="store_true", help="resume even if the code has changed since"
    )
    parser.add_argument(
        "--rebuild-data", action="store_true", help="generate damaged datasets again"
    )
    return parser


def evaluate_parser() -> CommandParser:
    """What `evaluate` takes."""
    parser = _parser(
        "evaluate", "Evaluate a finished run: print and record its metrics, and draw its figures."
    )
    parser.add_argument(
        "--run", metavar="RUN", help="run to evaluate; by default the last one that completed"
    )
    return parser


def reproduce_parser() -> CommandParser:
    """What `reproduce` takes."""
    parser = _parser(
        "reproduce",
        "Train what is missing for a paper's claims, and print published and reproduced numbers.",
    )
    parser.usage = "reproduce [CLAIM ...] [options]"
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = """\
Exit code 0 when every claim is reproduced, better, or a known gap; else 1. With --quick,
which judges no claim, 0 when everything ran. Claims that await a GPU count only where there
is one; without it, naming such a claim is an error unless --here is given.

examples:
  uv run --package paper-mnist1d reproduce
  uv run --package paper-mnist1d reproduce cnn mlp --seeds 10
  uv run --package paper-mnist1d reproduce --dry-run    # what would be trained, and for how long
"""
    parser.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="number of seeds instead of the planned one; results.json is not written then",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="number of trainings at once; by default one per core, or per GPU where they use one, "
        "and on a cluster as many as it has room for",
    )
    _add_place(parser, "a job array")
    parser.add_argument(
        "--quick", action="store_true", help="train each run for a few steps only, as a smoke test"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show what would be trained, and train nothing"
    )
    parser.add_argument(
        "--here",
        action="store_true",
        help="leave out what this machine can't make: claims that await a GPU, even if they are "
        "named, and claims whose data can't be fetched",
    )
    return parser


def parse(parser: CommandParser, words: Sequence[str]) -> argparse.Namespace:
    """The options; `words` in it are the experiment and the `key=value`s. Raises UsageError."""
    # `--resume model=cnn` names no run: a RUN never holds `=`.
    marked = [
        "--resume=" if word == "--resume" and ("=" in after or after.startswith("-")) else word
        for word, after in pairwise([*words, "-"])
    ]
    return parser.parse_intermixed_args(marked)


def help_text(parser: CommandParser, experiment: Experiment | None) -> str:
    """How the command is used, with the config keys of the experiment it would run."""
    train = parser.prog == "train"
    distribution = experiment.member.distribution if experiment else "paper-mnist1d"
    command = f"uv run --package {distribution} {parser.prog}"
    examples = [command]
    if train:
        examples += [
            f"{command} seed=3 steps=100 --name first-try",
            f"{command} --resume          # the last run that didn't finish",
            f"{command} --nproc 2",
            f"{command} steps=100 --profile 20",
        ]
    else:
        examples += [f"{command} --run 20261124-081530    # a run, or how its name begins"]
    parts = [
        f"usage: {parser.prog} [EXPERIMENT]{f' [{KEY_VALUE} ...]' if train else ''} [options]",
        parser.description or "",
        "options:\n" + parser.format_help().partition("options:")[2].strip("\n"),
        "The paper is the one that --paper names, else the one that `uv run --package` names,\n"
        "else the one that the working folder is in, else the only one installed.",
        "examples:\n" + "\n".join(f"  {example}" for example in examples),
    ]
    if experiment:
        parts.append(f"experiments of {experiment.member.name}:\n" + _experiments(experiment))
        if train:
            parts.append(_config_keys(experiment))
    return "\n\n".join(parts)


def first_line(
    experiment: Experiment, packages: Mapping[str, str], releases: Collection[str]
) -> str:
    """What is about to run, with the versions of our packages (which are releases) and torch."""
    distribution = experiment.member.distribution
    shown = [f"{k} {v}{' (release)' if k in releases else ''}" for k, v in packages.items()]
    versions = ", ".join([*shown, f"torch {version('torch')}"])
    return f"{distribution} {version(distribution)}: {experiment.name} ({versions})"


def _parser(command: str, description: str) -> CommandParser:
    parser = CommandParser(
        prog=command, description=description, add_help=False, allow_abbrev=False
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--paper", metavar="NAME", help="paper to run; see below")
    parser.add_argument("--quiet", action="store_true", help="print only the result")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("-h", "--help", action="store_true", help="show this help and exit")
    return parser


def _add_place(parser: CommandParser, kind: str) -> None:
    parser.add_argument(
        "--on",
        choices=("local", "slurm"),
        default="local",
        metavar="PLACE",
        help=f"where to train: `local`, on this machine; `slurm`, as {kind} of a cluster",
    )


def _experiments(shown: Experiment) -> str:
    return "\n".join(
        f"  {name}" + (" (the one shown here)" if name == shown.name else "")
        for name in sorted(shown.member.experiments)
    )


def _config_keys(experiment: Experiment) -> str:
    keys = describe_keys(experiment)
    widths = [max(len(getattr(key, part)) for key in keys) for part in ("name", "value", "type")]
    lines = [f"config keys of this experiment, from {experiment.config_file}:"]
    for common in (False, True):
        if common:
            lines.append("config keys of every experiment:")
        lines += [
            f"  {key.name:{widths[0]}}  {key.value:{widths[1]}}  {key.type:{widths[2]}}  {key.doc}"
            for key in keys
            if key.common is common
        ]
    return "\n".join(lines)
