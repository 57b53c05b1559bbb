"""Compute something in a forked process, while this one is busy."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from research_train.processes.children import ask_for_death_signal

T = TypeVar("T")


class Beside(Generic[T]):
    """What a function returns, computed on another core from now on.

    code = Beside(lambda: running_code(experiment))
    import torch  # a second and more
    code.result()

    It is called in this process, when the result is asked for, where a fork isn't safe (a system
    without it, several threads, torch imported already) and where the forked process fails: so
    what the function raises is raised here. Its result must be picklable.
    """

    def __init__(self, function: Callable[[], T]):
        self._function = function
        self._reading: Connection | None = None
        if not can_fork():
            return
        context = get_context("fork")
        self._reading, writing = context.Pipe(duplex=False)
        context.Process(target=_send, args=(function, writing), daemon=True).start()
        writing.close()

    def result(self) -> T:
        """The result, waited for. Raises what the function raises."""
        reading, self._reading = self._reading, None
        if reading is not None:
            with reading:
                try:
                    answer: T = reading.recv()
                    return answer
                except (EOFError, OSError):
                    pass  # it failed: again here, where the error can be raised
        return self._function()


def can_fork() -> bool:
    """Whether a fork of this process is safe: there is one thread, and torch isn't imported."""
    return "torch" not in sys.modules and threading.active_count() == 1 and hasattr(os, "fork")


def _send(function: Callable[[], T], writing: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started it
    ask_for_death_signal()
    try:
        writing.send(function())
    except BaseException:
        os._exit(1)
