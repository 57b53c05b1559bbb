"""Stop on a signal: at once, or after the current step where a checkpoint is to be written."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from research_train.errors import Interrupted

# USR1: a cluster's warning that it will end the job. HUP: the terminal was closed.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
SECOND_SIGNAL_AFTER = 1.0  # seconds; Ctrl-C can reach us twice, from the terminal and from uv


def stopping_signals() -> list[signal.Signals]:
    """The signals that stop this process: all of STOPPING, but not SIGHUP under `nohup`."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [each for each in STOPPING if not (ignored and each is signal.SIGHUP)]


class StopRequest:
    """Whether a signal has asked this process to stop. Signals are caught only in `listening`."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self._received = 0.0
        self._deferred = False
        self.waiting = False  # for the next batch: stopping there at once loses nothing

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Catch the STOPPING signals: each raises Interrupted at once, except in `deferred`."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python hands signals to the main thread alone
            return
        previous = {number: signal.signal(number, self._receive) for number in stopping_signals()}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """In this block a first signal is only noted in `signal`, for the block to check."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first = self.signal is None
        if not first and time.monotonic() - self._received < SECOND_SIGNAL_AFTER:
            return
        if first:
            self.signal, self._received = number, time.monotonic()
        if not self._deferred or not first:
            raise Interrupted(number)
        print(
            "\nstopping after this step, with a checkpoint (send the signal again to stop at once)",
            file=sys.stderr,
        )
        if self.waiting:
            raise Interrupted(number)
