"""Train runs for a few steps, several in a process: `reproduce --quick`.

    echo '[["mnist1d", "model=mlp", "steps=20"], ["mnist1d", "model=cnn", "steps=20"]]' |
        RESEARCH_ASSETS=SCRATCH python -m research_train.evidence.smoke_test --paper mnist1d

Each list is an experiment and its words. stdout gets one line of JSON per run: null, or why it
failed. Most of so short a training would be the start of a process that imports torch, so one
imports it and the others are forked from it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from tempfile import TemporaryFile
from typing import IO

from research_data.assets.verify import count_cores
from research_data.errors import ResearchError

from research_train.evidence.tasks import answer_tasks
from research_train.evidence.trainings import Failed, NeededRun
from research_train.experiment.members import Member
from research_train.processes.children import Children
from research_train.training import new_run, train_run


def try_all(
    member: Member,
    needed: Sequence[NeededRun],
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Failed]:
    """Train the runs in `jobs` processes (by default one per core); returns the failed ones.

    say: called with a line for every run, as soon as it has ended. Raises Interrupted.
    """
    jobs = min(jobs or count_cores(), len(needed))
    threads = str(max(1, count_cores() // jobs))
    tasks = [
        [each.setting.experiment, *each.setting.overrides, f"seed={each.seed}"] for each in needed
    ]
    module = ["-P", "-m", "research_train.evidence.smoke_test"]
    options = ["--paper", member.distribution, "--processes", str(jobs)]
    failed = []
    with Children() as children, TemporaryFile() as errors:
        child = children.start(
            [sys.executable, *module, *options],
            {"OMP_NUM_THREADS": threads, **os.environ},
            whole_group=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert child.stdin is not None and child.stdout is not None
        with suppress(BrokenPipeError), child.stdin:  # it ended before, and says why
            child.stdin.write(json.dumps(tasks).encode())
        for each in needed:
            told = child.stdout.readline()
            if not told:
                child.wait()
            children.raise_if_stopped()
            why = json.loads(told) if told else _last_line(errors)
            say(f"failed: {each.label}: {why}" if why else f"runs: {each.label}")
            failed += [Failed(each, why)] if why else []
        child.wait()
    return failed


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    last = errors.read().decode(errors="replace").strip().splitlines()[-1:]
    return (last or ["the process ended without a message"])[0].removeprefix("error: ")


def why_it_fails(member: Member, task: Sequence[str]) -> str | None:
    """Train one run; returns why it failed, None if it didn't."""
    experiment, *words = task
    try:
        run = new_run(member.experiment(experiment), words)
        run.quiet = True
        train_run(run, member.experiment(experiment))
    except ResearchError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    answer_tasks(why_it_fails)
