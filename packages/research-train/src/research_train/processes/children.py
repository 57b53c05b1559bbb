"""Processes that end with the one that started them, even when that is killed without a word.

A process that starts others holds the writing end of a pipe, for as long as it lives; they hold the
reading end and are told by the system when it closes. Linux sends a signal besides: that one holds
for releases of this package which know of no pipe.
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
from typing import Any

VARIABLE = "RESEARCH_PARENT_PIPE"  # in a child's environment: the pipe's descriptor and inode
PR_SET_PDEATHSIG = 1  # of prctl(2)
PATIENCE = 60.0  # seconds to write a checkpoint in, after which the end comes without one

_ends: list[int] = []  # of this process's pipe: reading, writing; none until it starts a child


def start_child(
    command: Sequence[str], environment: Mapping[str, str] | None = None, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a command of ours, which ends soon after this process does: see `end_with_parent`.

    environment: this process's own by default. options: Popen's.
    """
    reading = _pipe()
    said = f"{reading}:{os.fstat(reading).st_ino}"
    whole = {**(os.environ if environment is None else environment), VARIABLE: said}
    return subprocess.Popen(command, env=whole, pass_fds=(reading,), **options)


def end_with_parent() -> None:
    """Have this process stopped, as by SIGTERM, when the one that started it is gone.

    Nothing happens in a process that `start_child` didn't start.
    """
    reading = _inherited()
    if reading is None:
        return
    ask_for_death_signal()
    # A parent that died before that line has closed its pipe: the thread sees it at once.
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="parent").start()


def ask_for_death_signal() -> None:
    """Have Linux send this process SIGTERM when its parent dies; it stays so through an exec.

    As `preexec_fn` for a command that isn't ours.
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

    The variable is inherited further than the descriptor, by a process's own children: the inode
    tells whether what has that number now is still the pipe.
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
    """In a forked process: it isn't the parent, and must not keep the pipe open in its place."""
    for end in _ends:
        with suppress(OSError):
            os.close(end)
    _ends.clear()


os.register_at_fork(after_in_child=_forget_pipe)
