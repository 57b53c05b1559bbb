"""Say when a training does no step for long: a deadlock, a disk or another process that hangs."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from research_data.shown import say, shown_duration

PATIENCE = 600.0  # seconds without a step after which a line says so
POLL = 10.0  # seconds between two looks; the steps themselves do nothing for this
USUAL = 3  # times the longest wait so far isn't long yet: an evaluation may take an hour


@contextmanager
def stalls_told(step: Callable[[], int], quiet: bool = False) -> Iterator[None]:
    """In this block, say so on stderr when the number of steps stays the same for long.

    step: how many are done. quiet: don't.
    """
    ended = threading.Event()
    words = (step, threading.get_ident(), ended)
    watch = threading.Thread(target=_watch, args=words, daemon=True, name="stalls")
    if not quiet:
        watch.start()
    try:
        yield
    finally:
        ended.set()
        if not quiet:
            watch.join()


def _watch(step: Callable[[], int], thread: int, ended: threading.Event) -> None:
    seen, since, limit = step(), time.monotonic(), PATIENCE
    while not ended.wait(POLL):
        now, waited = time.monotonic(), time.monotonic() - since
        if step() != seen:
            seen, since, limit = step(), now, max(limit, USUAL * waited)
        elif waited >= limit:
            limit = 2 * waited
            place = _place(thread)
            say(f"warning: no step for {shown_duration(waited)} after step {seen}{place}")


def _place(thread: int) -> str:
    """Which line a thread is at, the innermost one that isn't of a library."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        library = "site-packages" in file.parts or file.is_relative_to(Path(os.__file__).parent)
        if file.is_absolute() and not library:
            return f"; it is at {Path(*file.parts[-2:])}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""
