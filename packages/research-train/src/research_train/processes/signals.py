"""Stop on a signal: at once, or after the current step where a checkpoint is to be written."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from research_data.shown import say

from research_train.errors import Interrupted

BUDGET = signal.SIGALRM  # when the minutes that a run may take are over
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
    def listening(self, minutes: float = 0.0) -> Iterator[None]:
        """Catch the STOPPING signals: each raises Interrupted at once, except in `deferred`.

        minutes: after which to ask for a stop too; 0: never. That is only noted in `signal`, as
        BUDGET: what comes before a training's first step, or after its last, isn't cut short.
        """
        if threading.current_thread() is not threading.main_thread():
            if minutes:
                say("warning: max_minutes isn't kept: the training isn't in the main thread")
            yield  # Python hands signals to the main thread alone
            return
        caught = [*stopping_signals(), *([BUDGET] if minutes else [])]
        previous = {number: signal.signal(number, self._receive) for number in caught}
        if minutes:
            signal.setitimer(signal.ITIMER_REAL, minutes * 60)
        try:
            yield
        finally:
            if minutes:
                signal.setitimer(signal.ITIMER_REAL, 0)
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
        if number == BUDGET:
            self.signal = self.signal or BUDGET
            return
        first = self.signal in (None, BUDGET)
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
