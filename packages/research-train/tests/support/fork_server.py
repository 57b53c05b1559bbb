"""Starts the workspace's commands as processes forked from one that has imported torch already.

Importing torch takes two seconds, a tiny training a tenth of one. The child is a process of its
own, with the words, folder, environment, streams, signals and end that the command would have. So
are the processes of ours that it starts: each is a real child, forked_child.py, in whose place a
fork of the server works.
"""

import atexit
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

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
    """Fork for each request: a line on stdin, or a connection of a child's."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(Path(tempfile.mkdtemp(prefix="fork-server-"), "socket")))
    listener.listen(64)
    lines = b""
    while True:
        ready, _, _ = select.select([0, listener], [], [])
        if 0 in ready:
            read = os.read(0, 65536)
            if not read:
                break
            *whole, lines = (lines + read).split(b"\n")
            for line in whole:
                if not os.fork():
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    _run_and_note(listener, *json.loads(line))
        if listener in ready:
            connection, _ = listener.accept()
            if not os.fork():
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _run_for_child(listener, connection)
            connection.close()
    Path(listener.getsockname()).unlink()
    Path(listener.getsockname()).parent.rmdir()


def _run_and_note(
    listener: socket.socket, folder: str, words: list[str], cwd: str, environment: dict[str, str]
) -> None:
    """Run a command of a test, its streams and its end in files of a folder."""
    if child := os.fork():
        _note(Path(folder, "pid"), child)
        _, status = os.waitpid(child, 0)
        _note(Path(folder, "code"), os.waitstatus_to_exitcode(status))
        os._exit(0)
    made = os.O_WRONLY | os.O_CREAT
    streams = {
        0: os.open(os.devnull, os.O_RDONLY),
        1: os.open(Path(folder, "stdout"), made, 0o644),
        2: os.open(Path(folder, "stderr"), made, 0o644),
    }
    words[0] = str(Path(sys.executable).with_name(words[0]))
    _become(listener, words, cwd, environment, streams)


def _run_for_child(listener: socket.socket, connection: socket.socket) -> None:
    """Run a command in place of forked_child.py, which passes its descriptors and signals on."""
    told, received, _, _ = socket.recv_fds(connection, 1 << 20, 64)
    while not told.endswith(b"\n"):
        told += connection.recv(1 << 20)
    request = json.loads(told)
    if not (child := os.fork()):
        connection.close()
        streams = dict(zip(request["descriptors"], received, strict=True))
        _become(listener, request["words"], request["cwd"], request["environment"], streams)
    for descriptor in received:
        os.close(descriptor)
    listener.close()
    ended = os.pidfd_open(child)
    while True:
        ready, _, _ = select.select([ended, connection], [], [])
        if ended in ready:
            _, status = os.waitpid(child, 0)
            connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
            os._exit(0)
        numbers = connection.recv(16)
        for number in numbers or [signal.SIGKILL]:  # none: the child itself was killed
            os.kill(child, number)
        if not numbers:
            os._exit(0)


def _become(
    listener: socket.socket,
    words: list[str],
    cwd: str,
    environment: dict[str, str],
    streams: Mapping[int, int],
) -> None:
    """Be the process of this command. streams: descriptor -> what it is to be a copy of."""
    address = listener.getsockname()
    listener.close()
    copies = {number: fcntl.fcntl(given, fcntl.F_DUPFD, 200) for number, given in streams.items()}
    for given in streams.values():
        os.close(given)
    for number, copy in copies.items():
        os.dup2(copy, number)
        os.close(copy)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as at the start of an interpreter
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, errors="backslashreplace", closefd=False)  # noqa: SIM115
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update({"PYTHONHASHSEED": "0", **environment})
    sys.path[:1] = environment.get("PYTHONPATH", "").split(os.pathsep)
    if environment.get("OMP_NUM_THREADS", "").isdigit():
        sys.modules["torch"].set_num_threads(int(environment["OMP_NUM_THREADS"]))
    subprocess.Popen.__init__ = _forking(subprocess.Popen.__init__, address)  # type: ignore[method-assign]
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


def _command(words: list[str]) -> Callable[[], Any]:
    """What `python -P -m module` or a console script runs; it reads its words from sys.argv."""
    if words[0] == sys.executable:
        sys.orig_argv = words
        sys.argv = words[3:]
        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
        return lambda: runpy.run_module(words[3], run_name="__main__", alter_sys=True) and None
    sys.orig_argv = [sys.executable, *words]
    sys.argv = [Path(words[0]).name, *words[1:]]
    [script] = entry_points(group="console_scripts", name=sys.argv[0])
    return script.load()  # type: ignore[no-any-return]


def _forking(start: Callable[..., None], address: str) -> Callable[..., None]:
    """Popen's constructor, but a command of ours has its work done by a fork of the server.

    Any other starts as always, as does one with other code, flags or order of sets than the server.
    """

    def init(self: Any, args: Any, *more: Any, env: Any = None, **options: Any) -> None:
        words = [str(word) for word in args] if isinstance(args, list | tuple) else [str(args)]
        variables = os.environ if env is None else env
        ours = words[:3] == [sys.executable, "-P", "-m"] or (
            Path(words[0]).parent == Path(sys.executable).parent
            and Path(words[0]).name in ("train", "evaluate", "reproduce", "research-cli")
        )
        same = all(
            variables.get(name) == os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHASHSEED")
        )
        if ours and same and os.pathsep not in variables.get("PYTHONPATH", ""):
            child = str(Path(__file__).with_name("forked_child.py"))
            args = [sys.executable, "-I", "-S", child, address, *words]
        start(self, args, *more, env=env, **options)

    return init


def _note(file: Path, number: int) -> None:
    beside = file.with_suffix(".partial")
    beside.write_text(str(number))
    beside.rename(file)


if __name__ == "__main__":
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.collect()
    gc.freeze()  # a fork whose collector looked at what is here would copy its memory
    _serve()
