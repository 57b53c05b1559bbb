"""Start child processes, alone or several together, and this process again.

Every child ends with the process that started it, even if that one is killed by SIGKILL. The parent
holds the writing end of a pipe for as long as it lives; its children hold the reading end, and the
system tells them when it closes. On Linux a child also asks for a signal, which still works when it
starts again as an older release that knows no pipe.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn

from research_train.errors import CommandError, Interrupted
from research_train.processes.signals import stopping_signals

VARIABLE = "RESEARCH_PARENT_PIPE"  # in a child's environment: the pipe's descriptor and inode
PR_SET_PDEATHSIG = 1  # of prctl(2)
PATIENCE = 60.0  # seconds a child has to write a checkpoint before it is killed
LONGEST_LINE = 2000  # bytes at the end of a child's output that are searched for its last line

_ends: list[int] = []  # of this process's pipe: reading, writing; empty until it starts a child


def start_child(
    command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a command of ours, which ends soon after this process does (`end_with_parent`).

    environment: this process's own by default. options: Popen's.
    """
    reading = _pipe()
    said = f"{reading}:{os.fstat(reading).st_ino}"
    whole = {**(os.environ if environment is None else environment), VARIABLE: said}
    return subprocess.Popen(command, env=whole, pass_fds=(reading,), **options)


def last_line(stderr: IO[bytes] | None) -> str:
    """The last line that a process wrote, without `error: `; empty if it wrote none."""
    if stderr is None or stderr.closed:
        return ""
    end = os.fstat(stderr.fileno()).st_size
    text = os.pread(stderr.fileno(), LONGEST_LINE, max(0, end - LONGEST_LINE))
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else ""


def output_of(
    command: Sequence[str],
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    given: bytes = b"",
    patience: float | None = None,
) -> bytes:
    """What a command prints on stdout. Raises CommandError with its last lines if it fails.

    folder, environment: this process's own by default. given: its stdin. patience: seconds after
    which it is killed, with a CommandError.
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    name = Path(command[0]).name
    try:
        child = start_child(command, environment, cwd=folder, **pipes)
    except FileNotFoundError as error:
        if folder is not None and not folder.is_dir():
            raise
        raise CommandError(f"there is no {name} on the PATH: install it") from error
    with child:
        try:
            output, errors = child.communicate(given, timeout=patience)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise CommandError(f"{name} gave no answer within {patience:.0f} s") from error
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        said = (errors or output).decode(errors="replace").strip()
        words = [w for w in command[1:4] if not w.startswith("-") and "\n" not in w]
        shown, last = " ".join([name, *words]), "; ".join(said.splitlines()[-3:])
        raise CommandError(f"`{shown}` failed with exit code {child.returncode}: {last}", said)
    return output


class Children:
    """Child processes that receive this process's stopping signals, and end with the block.

    with Children() as children:
        child = children.start(["train", "seed=1"])
        child.wait()
    children.raise_if_stopped()

    Each runs in its own session, so that Ctrl-C reaches it only once, through this process. Those
    still alive at the end of the block are killed.
    """

    def __init__(self) -> None:
        self.signal: int | None = None  # the first that came
        self._started: list[tuple[subprocess.Popen[bytes], bool]] = []
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Children":
        if threading.current_thread() is threading.main_thread():  # only it gets signals
            self._before = {each: signal.signal(each, self._receive) for each in stopping_signals()}
        return self

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        whole_group: bool = False,
        **options: Any,
    ) -> "subprocess.Popen[bytes]":
        """Start a command, as `start_child` does.

        whole_group: send signals also to the processes that it starts.
        """
        child = start_child(command, environment, start_new_session=True, **options)
        self._started.append((child, whole_group))
        if self.signal is not None:  # a signal came while this child was being started
            self._send(self.signal)
        return child

    @property
    def started(self) -> "list[subprocess.Popen[bytes]]":
        """All that were started, in their order."""
        return [child for child, _ in self._started]

    def raise_if_stopped(self) -> None:
        """Raise Interrupted if a signal came."""
        if self.signal is not None:
            raise Interrupted(self.signal)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.signal = self.signal or number
        self._send(number)

    def _send(self, number: int) -> None:
        for child, whole_group in self._started:
            if child.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, number) if whole_group else child.send_signal(number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._send(signal.SIGKILL)
        for child, _ in self._started:
            child.wait()
        for number, handler in self._before.items():
            signal.signal(number, handler)


def start_again(environment: dict[str, str], words: list[str]) -> NoReturn:
    """Replace this process by the same interpreter with these arguments and environment."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.execve(sys.executable, [sys.executable, *words], environment)


def end_with_parent() -> None:
    """Stop this process, as by SIGTERM, when the process that started it is gone.

    Does nothing in a process that `start_child` didn't start.
    """
    reading = _inherited()
    if reading is None:
        return
    ask_for_death_signal()
    # A parent that died before that line has closed its pipe: the thread sees it at once.
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="parent").start()


def ask_for_death_signal() -> None:
    """Ask Linux to send this process SIGTERM when its parent dies, also after an exec.

    Serves as `preexec_fn` for a command that isn't ours.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))


def _watch(reading: int) -> None:
    with suppress(OSError):
        while os.read(reading, 1):  # nothing is ever written
            pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os.kill(os.getpid(), signal.SIGKILL)


def _inherited() -> int | None:
    """The reading end of the pipe of the process that started this one.

    Grandchildren inherit the variable, but not the descriptor: the inode tells whether the
    descriptor of that number is still the pipe.
    """
    try:
        descriptor, inode = map(int, os.environ.get(VARIABLE, "").split(":"))
        return descriptor if os.fstat(descriptor).st_ino == inode else None
    except (ValueError, OverflowError, OSError):
        return None


def _pipe() -> int:
    """The reading end of this process's own pipe."""
    if not _ends:
        _ends.extend(os.pipe())
    return _ends[0]


def _forget_pipe() -> None:
    """Close the pipe in a forked process, which would keep it open after the parent's end."""
    for end in _ends:
        with suppress(OSError):
            os.close(end)
    _ends.clear()


os.register_at_fork(after_in_child=_forget_pipe)
