"""Starts the workspace's commands as processes forked from one that has imported torch already.

Importing torch takes two seconds, a tiny training a tenth of one. The child is a process of its
own, with the words, folder, environment, streams, signals and end that the command would have. So
are the processes of ours that it starts: each is a real child, forked_child.py, in whose place a
fork of the server works. Where other code of ours is to run (a release, a copy that a test edits),
the fork imports that anew; a command that starts itself again does so in its own process.
"""

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from research_data.lock import locked
from research_train.processes.collector import collect_as_usual, collect_rarely

PRELOADED = (  # what a command imports besides the paper's own code
    "optuna",  # of sweeps
    "psutil",
    "pydantic.type_adapter",
    "research_cli.app",
    "research_train.evaluating",
    "research_train.evidence.reproduce",
    "research_train.launch",
    "research_train.loop.trainer",
    "research_train.record.start",
    "research_train.reproduce_command",
    "research_train.results.report",
    "research_train.results.screen",
    "research_train.training",
    "research_viz.saving",
    "safetensors.numpy",
    "scipy.special",
    "torch._dynamo",
)
COMMANDS = ("train", "evaluate", "reproduce", "research-cli")
INSTALLED = sys.path[1:]  # where modules are found, without the folder of this script


class Child:
    """A command under way: what the tests use of `subprocess.Popen`."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.returncode: int | None = None
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
    request = {"folder": str(folder), "words": [command, *words], "cwd": str(cwd)}
    _, address = _server()
    with _connected(address, request | {"environment": dict(environment)}) as connection:
        if not connection.recv(1):
            raise RuntimeError(f"the fork server has ended: {Path(f'{address}.log').read_text()}")
    return Child(folder)


def run(
    command: str, words: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command as `subprocess.run` does, its output captured."""
    child = start(command, list(words), cwd, environment)
    output, errors = child.communicate(timeout=120)
    assert child.returncode is not None
    return subprocess.CompletedProcess([command, *words], child.returncode, output, errors)


def put_on_path(command: str, folder: Path) -> None:
    """Make a program in folder that does what the command does, for a shell that is run there."""
    _, address = _server()
    words = [*_forked_child(address), str(Path(sys.executable).with_name(command))]
    (folder / command).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    (folder / command).chmod(0o755)


@functools.cache
def _server() -> tuple[socket.socket, str]:
    """The connection for which the server stays, and its address.

    All workers of a test run share one, which the first of them starts, and which ends when the
    last connection of this kind closes.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    address = str(Path(tempfile.gettempdir(), f"fork-server-{run[:12]}"))
    with locked(Path(f"{address}.lock")):
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return _connected(address, {}), address
        Path(address).unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listener, Path(f"{address}.log").open("w") as log:
            listener.bind(address)
            listener.listen(64)
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            environment["PYTHONHASHSEED"] = "0"  # as the commands would start again with
            subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=[listener.fileno()],
            )
        return _connected(address, {}), address


def _connected(address: str, request: Mapping[str, Any]) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    connection.sendall(json.dumps(request).encode() + b"\n")
    return connection


@dataclass
class _Command:
    """A fork at work, and who is told of its end: files of a folder, or a child's connection."""

    pid: int
    ended: int  # its pidfd
    asker: Path | socket.socket


def _serve(listener: socket.socket) -> None:
    """Fork for each request, until no worker of the tests is left.

    One fork a command, as each copies the tables of half a gigabyte: the server itself waits for
    its end and passes signals on.
    """
    workers: list[socket.socket] = []
    commands: list[_Command] = []
    began = False
    while workers or commands or not began:
        ends = [each.ended for each in commands]
        connections = [each.asker for each in commands if isinstance(each.asker, socket.socket)]
        ready, _, _ = select.select([listener, *workers, *ends, *connections], [], [])
        for each in list(commands):
            if each.ended in ready:
                _tell_of_its_end(each)
                commands.remove(each)
            elif each.asker in ready and not _pass_signals_on(each):
                commands.remove(each)
        for worker in [each for each in workers if each in ready]:  # it sends no more: it has ended
            workers.remove(worker)
            worker.close()
        if listener in ready:
            connection, _ = listener.accept()
            request, descriptors = _received(connection)
            if request == {}:
                workers.append(connection)
                began = True
                continue
            if request:
                commands.append(
                    _begin([listener, *workers], commands, connection, request, descriptors)
                )
            if not request or "folder" in request:
                connection.close()
            for descriptor in descriptors:
                os.close(descriptor)
    for ending in ("", ".log", ".lock"):
        Path(f"{listener.getsockname()}{ending}").unlink(missing_ok=True)


def _received(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """A request and its descriptors; no request if who asked was killed before the end of it."""
    told, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 64)
    while told and not told.endswith(b"\n"):
        more = connection.recv(1 << 20)
        told = told + more if more else b""
    return json.loads(told) if told else None, descriptors


def _begin(
    ours: Sequence[socket.socket],
    others: Sequence[_Command],
    connection: socket.socket,
    request: dict[str, Any],
    descriptors: Sequence[int],
) -> _Command:
    """Start a command of a test, its streams and end in a folder's files, or of forked_child.py."""
    folder = Path(request["folder"]) if "folder" in request else None
    if not (child := os.fork()):
        _leave(others)
        connection.close()
        address = ours[0].getsockname()
        for each in ours:
            each.close()
        words = request["words"]
        if folder:
            made = os.O_WRONLY | os.O_CREAT
            streams = {
                0: os.open(os.devnull, os.O_RDONLY),
                1: os.open(folder / "stdout", made, 0o644),
                2: os.open(folder / "stderr", made, 0o644),
            }
            words = [str(Path(sys.executable).with_name(words[0])), *words[1:]]
        else:
            streams = dict(zip(request["descriptors"], descriptors, strict=True))
        _become(address, words, request["cwd"], request["environment"], streams)
    if folder:
        _note(folder / "pid", child)
        connection.sendall(b".")
    return _Command(child, os.pidfd_open(child), folder or connection)


def _leave(others: Sequence[_Command]) -> None:
    """In a new fork: let go of what the server has open for other commands."""
    for each in others:
        os.close(each.ended)
        if isinstance(each.asker, socket.socket):
            each.asker.close()


def _tell_of_its_end(command: _Command) -> None:
    _, status = os.waitpid(command.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if isinstance(command.asker, socket.socket):
        with contextlib.suppress(OSError):  # the child was killed meanwhile
            command.asker.sendall(str(code).encode())
    else:
        _note(command.asker / "code", code)
    _leave([command])


def _pass_signals_on(command: _Command) -> bool:
    """Send a fork what its child was sent; False: it has been killed, as the child itself was."""
    assert isinstance(command.asker, socket.socket)
    try:
        numbers = command.asker.recv(16)
    except ConnectionError:
        numbers = b""
    for number in numbers or [signal.SIGKILL]:
        os.kill(command.pid, number)
    if numbers:
        return True
    os.waitpid(command.pid, 0)
    _leave([command])
    return False


def _become(
    address: str,
    words: list[str],
    cwd: str,
    environment: dict[str, str],
    streams: Mapping[int, int],
) -> NoReturn:
    """Be the process of this command. streams: descriptor -> what it is to be a copy of."""
    copies = {number: fcntl.fcntl(given, fcntl.F_DUPFD, 200) for number, given in streams.items()}
    for given in streams.values():
        os.close(given)
    for number, copy in copies.items():
        os.dup2(copy, number)
        os.close(copy)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update({"PYTHONHASHSEED": "0", **environment})
    subprocess.Popen.__init__ = _forking(subprocess.Popen.__init__, address)  # type: ignore[method-assign]
    os.execve = functools.partial(_start_again, os.execve)  # type: ignore[assignment]
    _run_to_its_end(words)


def _run_to_its_end(words: list[str]) -> NoReturn:
    """Run a command in the environment that this process has now, and end as it ends."""
    encoding = os.environ.get("PYTHONIOENCODING")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115 - as an interpreter does
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115
    first = [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    if any(next(Path(each).glob("research_*/__init__.py"), None) for each in first):
        _forget_our_modules()
    sys.path[:] = [*first, *INSTALLED]
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        sys.modules["torch"].set_num_threads(int(threads))
    try:
        code = _command(words)() or 0
    except SystemExit as end:  # as argparse does after --help
        code = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    # All the rest of an interpreter's end is freeing modules: half a second of pages to copy.
    os._exit(code)


def _start_again(
    execve: Callable[..., NoReturn], program: str, words: list[str], environment: dict[str, str]
) -> NoReturn:
    """Be os.execve, where a command of ours starts again: it does so here, with torch imported."""
    command = _ours(words)
    if command is None or environment.get("PYTHONHASHSEED") != "0":
        execve(program, words, environment)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    _forget_our_modules()
    _run_to_its_end(command)


def _forget_our_modules() -> None:
    """Have our packages and papers imported anew, from where they are found first now."""
    for name in list(sys.modules):
        if name.startswith(("research_", "paper_")):
            del sys.modules[name]
    importlib.invalidate_caches()


def _command(words: list[str]) -> Callable[[], Any]:
    """What `python -P -m module` or a console script runs; it reads its words from sys.argv."""
    if words[0] == sys.executable:
        sys.orig_argv = words
        sys.argv = words[3:]
        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
        return lambda: runpy.run_module(words[3], run_name="__main__", alter_sys=True) and None
    sys.orig_argv = [sys.executable, *words]
    sys.argv = words
    return lambda: runpy.run_path(words[0], run_name="__main__") and None


def _forking(start: Callable[..., None], address: str) -> Callable[..., None]:
    """Popen's constructor, but a command of ours has its work done by a fork of the server.

    Any other starts as always, as does one with another order of sets than the server.
    """

    def init(self: Any, args: Any, *more: Any, env: Any = None, **options: Any) -> None:
        words = [str(word) for word in args] if isinstance(args, list | tuple) else [str(args)]
        command = _ours(words)
        if command and (os.environ if env is None else env).get("PYTHONHASHSEED") == "0":
            args = [*_forked_child(address), *command]
        start(self, args, *more, env=env, **options)

    return init


def _forked_child(address: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("forked_child.py")), address]


def _ours(words: list[str]) -> list[str] | None:
    """The words of a command of ours, without the interpreter of a script; None for another."""
    if words[:3] == [sys.executable, "-P", "-m"]:
        return words
    script = words[1:] if words[0] == sys.executable else words
    if not script or Path(script[0]).parent != Path(sys.executable).parent:
        return None
    return script if Path(script[0]).name in COMMANDS else None


def _note(file: Path, number: int) -> None:
    beside = file.with_suffix(".partial")
    beside.write_text(str(number))
    beside.rename(file)


if __name__ == "__main__":
    collect_rarely()
    for name in PRELOADED:
        importlib.import_module(name)
    for each in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        each.atexit = False  # thousands of torch's operators, which each fork would take down
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    collect_as_usual()  # not at what is here: a fork whose collector did would copy its memory
    _serve(socket.socket(fileno=int(sys.argv[1])))
