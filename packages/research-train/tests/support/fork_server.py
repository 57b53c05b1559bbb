"""Starts the workspace's commands as processes forked from one that has imported torch already.

Importing torch takes two seconds, a tiny training a tenth of one. The child is a process of its
own, with the words, folder, environment, streams, signals and end that the command would have.
"""

import atexit
import functools
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO

PRELOADED = (  # what a command imports besides the paper's own code
    "research_cli.app",
    "research_train.evaluating",
    "research_train.launch",
    "research_train.experiment.needs",
    "research_train.record.run",
    "research_train.loop.trainer",
    "research_viz.saving",
    "torch._dynamo",
)


class Child:
    """A command under way: what the tests use of `subprocess.Popen`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.returncode: int | None = None
        while not (folder / "pid").exists():
            time.sleep(0.005)
        self.pid = int((folder / "pid").read_text())

    def poll(self) -> int | None:
        if self.returncode is None and (self._folder / "code").exists():
            self.returncode = int((self._folder / "code").read_text())
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send_signal(signal.SIGKILL)
                raise subprocess.TimeoutExpired(str(self._folder), timeout)
            time.sleep(0.005)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float = 60) -> tuple[str, str]:
        self.wait(timeout)
        return (self._folder / "stdout").read_text(), (self._folder / "stderr").read_text()

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def start(command: str, words: list[str], cwd: Path, environment: Mapping[str, str]) -> Child:
    """Start a command as `subprocess.Popen` does."""
    folder = Path(tempfile.mkdtemp(prefix="command-"))
    request = (str(folder), [command, *words], str(cwd), dict(environment))
    server = _server()
    server.write(json.dumps(request) + "\n")
    server.flush()
    return Child(folder)


def run(
    command: str, words: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command as `subprocess.run` does, its output captured."""
    child = start(command, list(words), cwd, environment)
    output, errors = child.communicate(timeout=120)
    assert child.returncode is not None
    return subprocess.CompletedProcess([command, *words], child.returncode, output, errors)


@functools.cache
def _server() -> IO[str]:
    """Where the requests of this process are written; the server ends when it closes."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONHASHSEED"] = "0"  # as the commands would start again with
    command = [sys.executable, __file__]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment)
    assert server.stdin is not None
    return server.stdin


def _serve() -> None:
    for line in sys.stdin:
        folder, words, cwd, environment = json.loads(line)
        if os.fork():
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if child := os.fork():
            _note(Path(folder, "pid"), child)
            _, status = os.waitpid(child, 0)
            _note(Path(folder, "code"), os.waitstatus_to_exitcode(status))
            os._exit(0)
        _become(Path(folder), words, cwd, environment)


def _become(folder: Path, words: list[str], cwd: str, environment: dict[str, str]) -> None:
    for number, name, how in (
        (0, os.devnull, os.O_RDONLY),
        (1, folder / "stdout", os.O_WRONLY | os.O_CREAT),
        (2, folder / "stderr", os.O_WRONLY | os.O_CREAT),
    ):
        os.dup2(os.open(name, how, 0o644), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update({"PYTHONHASHSEED": "0", **environment})
    sys.path[:1] = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.argv = words
    sys.orig_argv = [sys.executable, str(Path(sys.executable).with_name(words[0])), *words[1:]]
    try:
        [script] = entry_points(group="console_scripts", name=words[0])
        code = script.load()() or 0
    except SystemExit as end:  # as argparse does after --help
        code = end.code or 0
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # All the rest of an interpreter's end is freeing modules: half a second of pages to copy.
    os._exit(code)


def _note(file: Path, number: int) -> None:
    beside = file.with_suffix(".partial")
    beside.write_text(str(number))
    beside.rename(file)


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _serve()
