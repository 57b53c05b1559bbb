"""Go on in a fork of this process, which watches it and passes signals on.

A fork has what this process has imported, where a second interpreter would import it again.
"""

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

from research_train.processes.children import ask_for_death_signal
from research_train.processes.signals import stopping_signals


@dataclass(frozen=True)
class Ended:
    """How a fork ended. code: negative where a signal killed it. signal: the first passed on."""

    code: int
    signal: int | None


def go_on_in_fork() -> Ended | None:
    """Returns None in a fork of this process, and in this one, once that has ended, how it did.

    Stopping signals that come meanwhile are passed on. The fork is stopped, as by SIGTERM, when
    this process is gone. Stopping signals are blocked when this returns after the fork has ended:
    the next fork, if there is one, gets those that came in between.
    """
    received: list[int] = []
    child = 0

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    watching, stopping = os.getpid(), stopping_signals()
    # Blocked until either knows what to do.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, stopping) - set(stopping)
    child = os.fork()
    if child == 0:
        ask_for_death_signal()
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if os.getppid() != watching:  # it died before that was asked
            os.kill(os.getpid(), signal.SIGTERM)
        return None
    before = {each: signal.signal(each, receive) for each in stopping}
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _, status = os.waitpid(child, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    for number, handler in before.items():
        signal.signal(number, handler)
    return Ended(os.waitstatus_to_exitcode(status), next(iter(received), None))
