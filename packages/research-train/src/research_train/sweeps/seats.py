"""Where a sweep's runs are trained: each seat trains one at a time, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from research_train.errors import RunError
from research_train.experiment.members import Experiment
from research_train.processes.children import Children, last_line
from research_train.sweeps.worker import DIED, STOPPED, Task


class Seat(Protocol):
    """A place where one run at a time is trained."""

    def start(self, task: Task) -> None:
        """Begin a run."""

    def ended(self) -> str | None:
        """Whether the run has ended: None while it hasn't, "" if it completed, else why not."""

    def stop(self) -> None:
        """Have the run stop at a checkpoint."""

    def close(self) -> None:
        """End the process once it has nothing under way."""


class WorkerSeat:
    """A worker.py, which trains one run after another; started again where it was killed."""

    def __init__(self, children: Children, experiment: Experiment, environment: Mapping[str, str]):
        self._children, self._experiment = children, experiment
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._read = b""

    def start(self, task: Task) -> None:
        """Begin a run."""
        if self._process is None or self._process.poll() is not None:
            self._start_worker()
        self._write(task.line())

    def ended(self) -> str | None:
        """Whether the run has ended, and how. Raises RunError if code was edited meanwhile."""
        assert self._process is not None and self._process.stdout is not None
        gone = self._process.poll() is not None  # looked at before the last of its answers is read
        with suppress(BlockingIOError):
            self._read += os.read(self._process.stdout.fileno(), 1 << 16)
        line, newline, self._read = self._read.partition(b"\n")
        if newline:
            answer = json.loads(line)
            if file := answer.get("changed"):
                raise RunError(
                    f"{file} was edited while the sweep ran, so its runs would not compare. Runs "
                    "under way are stopped. Undo the edit and start the sweep again, or give it "
                    "another --name"
                )
            return answer["why"] or ""
        self._read = line
        if not gone:
            return None
        killed = self._process.returncode < 0
        return DIED if killed else last_line(self._stderr) or DIED

    def stop(self) -> None:
        """Have the run stop at a checkpoint."""
        self._write(b'{"stop": true}\n')

    def close(self) -> None:
        """Let the worker end."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _write(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        with suppress(BrokenPipeError):  # it was killed: `ended` says so
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _start_worker(self) -> None:
        if self._stderr is not None:
            self._stderr.close()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the worker
        member = self._experiment.member
        module = ["-P", "-m", "research_train.sweeps.worker"]
        self._process = self._children.start(
            [sys.executable, *module, "--paper", member.distribution, self._experiment.name],
            self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._read = b""


class TrainSeat:
    """A `train` for each run: for a paper that requires releases, whose code has no worker."""

    def __init__(self, children: Children, experiment: Experiment, environment: Mapping[str, str]):
        self._children, self._experiment = children, experiment
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._asked = False

    def start(self, task: Task) -> None:
        """Begin a run."""
        member = self._experiment.member
        command = [str(Path(sys.executable).with_name("train")), "--paper", member.name]
        words = ["--resume", task.resume] if task.resume else ["--name", task.name, *task.words]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - `ended` closes it
        self._asked = False
        self._process = self._children.start(
            [*command, "--quiet", self._experiment.name, *words],
            self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
        )

    def ended(self) -> str | None:
        """Whether the run has ended, and how."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return None
        why = last_line(self._stderr)
        if self._stderr is not None:
            self._stderr.close()
        if code == 0:
            return ""
        if code < 0:
            return DIED
        return STOPPED if self._asked or code in (130, 143) else why or f"exit code {code}"

    def stop(self) -> None:
        """Have the run stop at a checkpoint."""
        assert self._process is not None
        self._asked = True
        self._process.terminate()

    def close(self) -> None:
        """Nothing is left to end."""
