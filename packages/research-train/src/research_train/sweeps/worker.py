"""A process that trains one run after another for a sweep, each in a fork of itself.

    python -P -m research_train.sweeps.worker --paper mnist1d mnist1d

What every run would spend on its own start is spent here once: torch and the loop are imported, the
code is archived and hashed. A fork then begins where `train` does: the seeds are set, and only then
the paper's code is imported, so that the numbers are those of `train`.

stdin: a line of JSON for each task, `{"stop": true}` to stop the one under way at a checkpoint.
stdout: a line for each task that has ended, {"why": null, or what went wrong}. What was trained is
in the run's folder.
"""

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from research_data.errors import ResearchError

from research_train.errors import Interrupted
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment, Member, find_member, installed_members
from research_train.processes.children import ask_for_death_signal, end_with_parent
from research_train.processes.collector import collect_as_usual, collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.processes.signals import stopping_signals
from research_train.record.folders import code_archive
from research_train.record.running_code import RunningCode, running_code
from research_train.sweeps.code_stamp import changed_file, code_stamp
from research_train.training import new_run, resumed_run, train_run
from research_train.versions.hand_over import start_under_requirements
from research_train.versions.requirements import reached_packages

STOPPED = "stopped"  # why a task ended that was asked to stop
DIED = "its process died"  # and that of one that was killed
LOOK = 5.0  # seconds between looks at a process, should its end go unnoticed


@dataclass(frozen=True)
class Task:
    """A run to train. words: `key=value`. resume: the id of the run to resume instead."""

    words: list[str]
    name: str
    group: str
    resume: str | None = None

    def line(self) -> bytes:
        """As the worker reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"


class Worker:
    """Trains the tasks of stdin, one at a time."""

    def __init__(self, experiment: Experiment, answer: Callable[[dict[str, Any]], None]):
        self._experiment, self._answer = experiment, answer
        self._stamp = code_stamp(experiment.member)
        self._code = running_code(experiment)
        load_config(experiment)  # imports config.py
        self._process: BaseProcess | None = None
        self._told: Connection | None = None
        self._stopping = False
        _import_what_trains()
        gc.collect()
        collect_as_usual()  # not at what is here: a fork whose collector did would copy its memory

    def serve(self) -> None:
        """Train until stdin closes or a signal comes."""
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)  # else `select` would sleep on after a signal
        for number in stopping_signals():
            signal.signal(number, self._stop)
        read, lines = True, b""
        while (read and not self._stopping) or self._process is not None:
            waits: list[Any] = [woken, 0] if read else [woken]
            if self._process is not None:
                waits.append(self._process.sentinel)
            ready, _, _ = select.select(waits, [], [], LOOK)
            if woken in ready:
                os.read(woken, 64)
            if self._process is not None and not self._process.is_alive():
                self._ended()
            if 0 not in ready:
                continue
            content = os.read(0, 1 << 16)
            read = bool(content)
            *whole, lines = (lines + content).split(b"\n")
            for line in whole:
                self._do(json.loads(line))
            if not read:
                self._stop(signal.SIGTERM, None)

    def _do(self, told: dict[str, Any]) -> None:
        if told.get("stop"):
            self._stop_training(signal.SIGTERM)
            return
        if file := changed_file(self._stamp, code_stamp(self._experiment.member)):
            self._answer({"changed": file})
            return
        self._keep_archive()
        told_by, tells = get_context("fork").Pipe(duplex=False)
        self._process = get_context("fork").Process(
            target=_train, args=(self._experiment, Task(**told), self._code, tells)
        )
        self._process.start()
        tells.close()
        self._told = told_by

    def _ended(self) -> None:
        assert self._process is not None and self._told is not None
        self._process.join()
        try:
            why = self._told.recv() if self._told.poll() else None
        except EOFError:  # it said nothing
            why = None
        if self._process.exitcode and not why:
            why = DIED
        self._told.close()
        self._process = None
        self._answer({"why": why})

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """End after the run under way, which stops at a checkpoint."""
        self._stopping = True
        self._stop_training(number)

    def _stop_training(self, number: int) -> None:
        if self._process is not None and self._process.pid is not None:
            os.kill(self._process.pid, number)  # not waited for yet, so the number is still its own

    def _keep_archive(self) -> None:
        """Mark the archive of the code as used: a removal of runs keeps young ones."""
        archive = code_archive(self._code.recorded["source"])
        if archive.is_file():
            os.utime(archive)
        else:
            self._code = running_code(self._experiment)


def _train(experiment: Experiment, task: Task, code: RunningCode, tells: Connection) -> None:
    """Train a run in this forked process, and tell why it failed."""
    signal.set_wakeup_fd(-1)
    for number in stopping_signals():
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ask_for_death_signal()
    end_with_parent()
    command = ["train", experiment.name, *task.words]
    try:
        if task.resume is None:
            run = new_run(
                experiment,
                task.words,
                name=task.name,
                command=command,
                group=task.group,
                code=lambda: code,
            )
        else:
            run = resumed_run(experiment, task.resume, command=["train", "--resume", task.resume])
        run.quiet = True
        train_run(run, experiment)
    except (Interrupted, KeyboardInterrupt):
        tells.send(STOPPED)
    except ResearchError as error:
        tells.send(str(error))
    except Exception as error:
        tells.send(f"{type(error).__name__}: {error}")


def _import_what_trains() -> None:
    """Import what a training imports besides the paper's own code, which may draw as it does."""
    import torch._dynamo  # noqa: F401 - the first optimizer would

    import research_train.loop.trainer
    import research_train.record.resume
    import research_train.record.start  # noqa: F401


def _member_and_experiment() -> tuple[Member, Experiment]:
    words = sys.argv[sys.argv.index("--paper") + 1 :]
    member = find_member(words[0], installed_members())
    return member, member.experiment(words[1])


def main() -> int:
    """Serve, with what the paper's code prints on stderr."""
    start_with_fixed_hashes()
    collect_rarely()
    try:
        member, experiment = _member_and_experiment()
        start_under_requirements(member)
        end_with_parent()
        reached_packages(member)
        answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

        def answer(value: dict[str, Any]) -> None:
            print(json.dumps(value), file=answers, flush=True)

        Worker(experiment, answer).serve()
    except (ResearchError, BrokenPipeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except Interrupted:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
