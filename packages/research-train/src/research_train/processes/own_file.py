"""Find the command for a paper's own file: `python papers/x/paper_x/train.py` means `train`."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from research_data.errors import UsageError

from research_train.command_line.edge import at_the_edge
from research_train.experiment.members import installed_members
from research_train.processes.children import start_again

COMMANDS = ("train", "evaluate")
START = (
    "import sys; from research_train.launch import {0}_command; "
    "sys.argv[0] = '{0}'; sys.exit({0}_command())"
)


def run_file(file: str) -> NoReturn:
    """Do what `train` or `evaluate` does, for the experiment whose train.py or evaluate.py this is.

    So that `python papers/x/paper_x/train.py steps=10` and `python -m paper_x.train` work:

        if __name__ == "__main__":
            run_file(__file__)

    The command takes the place of this process, in which a module of the paper is `__main__`.
    """

    def start(words: Sequence[str]) -> int:
        start_again(dict(os.environ), _command_of(file, words))

    sys.exit(at_the_edge(start, sys.argv[1:]))


def _command_of(file: str, words: Sequence[str]) -> list[str]:
    """The arguments of Python that do what the command does, for the experiment of a file.

    words: those typed after the file. Raises UsageError for a file that is no train.py or
    evaluate.py of an installed paper or project.
    """
    path = Path(file).resolve()
    for member in installed_members():
        for name, module in member.experiments.items():
            if path.stem in COMMANDS and _folder(module) == path.parent:
                named = [] if name == member.name else [name]
                start = START.format(path.stem)
                return ["-P", "-c", start, "--paper", member.name, *named, *words]
    raise UsageError(
        f"{file}: isn't the train.py or evaluate.py of an experiment that is installed here. "
        "`uv run --package PACKAGE train` trains a paper; `uv sync` installs a new one."
    )


def _folder(module: str) -> Path | None:
    found = find_spec(module)
    return Path(found.origin).resolve().parent if found and found.origin else None
