"""Train runs for a few steps, one after the other in a process: `reproduce --quick`.

    echo '[["mnist1d", "model=mlp", "steps=20"], ["mnist1d", "model=cnn", "steps=20"]]' |
        RESEARCH_ASSETS=SCRATCH python -m research_train.evidence.smoke_test --paper mnist1d

Each list is an experiment and its words. stdout gets one line of JSON per run: null, or why it
failed. Most of so short a training would be the start of a process that imports torch.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

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

    say: called with a line for every run. Raises Interrupted.
    """
    jobs = min(jobs or count_cores(), len(needed))
    threads = str(max(1, count_cores() // jobs))
    environment = {"OMP_NUM_THREADS": threads, **os.environ}
    parts = [needed[number::jobs] for number in range(jobs)]
    with Children() as children:
        for part in parts:
            _start(children, member, part, environment)
        answers = [child.communicate() for child in children.started]
    children.raise_if_stopped()
    failed = []
    for part, (output, errors) in zip(parts, answers, strict=True):
        told = output.decode(errors="replace").splitlines()
        last = errors.decode(errors="replace").strip().splitlines()[-1:]
        ended = (last or ["the process ended without a message"])[0].removeprefix("error: ")
        for number, each in enumerate(part):
            why = json.loads(told[number]) if number < len(told) else ended
            say(f"failed: {each.label}: {why}" if why else f"runs: {each.label}")
            failed += [Failed(each, why)] if why else []
    return failed


def _start(
    children: Children, member: Member, part: Sequence[NeededRun], environment: dict[str, str]
) -> None:
    tasks = [
        [each.setting.experiment, *each.setting.overrides, f"seed={each.seed}"] for each in part
    ]
    module = ["-P", "-m", "research_train.evidence.smoke_test", "--paper", member.distribution]
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(tasks).encode())
        stdin.seek(0)
        pipe = subprocess.PIPE
        children.start(
            [sys.executable, *module], environment, stdin=stdin, stdout=pipe, stderr=pipe
        )


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
