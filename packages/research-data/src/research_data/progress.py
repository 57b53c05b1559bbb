"""Show the progress of long work on stderr: one updated line at a terminal, else now and then."""

import sys
import threading
import time
from contextlib import suppress
from shutil import get_terminal_size
from types import TracebackType

from research_data.shown import printable, say, shown_size

DRAWN_INTERVAL = 0.2  # seconds between updates in a terminal or notebook
PLAIN_INTERVAL = 5.0  # seconds between lines in a pipe or file


class ProgressLine:
    """One line that shows how far some work is. quiet: show nothing."""

    def __init__(self, quiet: bool = False):
        self._quiet = quiet
        self._drawn = not quiet and (sys.stderr.isatty() or "ipykernel" in sys.modules)
        self._length = 0  # characters that are drawn now
        self._next = time.perf_counter() + self._interval

    @property
    def _interval(self) -> float:
        return DRAWN_INTERVAL if self._drawn else PLAIN_INTERVAL

    def due(self) -> bool:
        """Whether it is time to show how far the work is."""
        return not self._quiet and time.perf_counter() >= self._next

    def show(self, line: str) -> None:
        """Show a line; in a terminal or notebook it replaces the last one."""
        self._next = time.perf_counter() + self._interval
        if self._quiet:
            return
        if self._drawn:
            self._draw(printable(line)[: get_terminal_size().columns - 1])
        else:
            say(line)

    def clear(self) -> None:
        """Remove the line that is drawn."""
        if self._length:
            self._draw("")
            self._write("\r")

    def leave(self) -> None:
        """Keep the line that is drawn, and go to the next."""
        if self._length:
            self._length = 0
            self._write("\n")

    def _draw(self, text: str) -> None:
        self._write("\r" + text.ljust(self._length))
        self._length = len(text)

    def _write(self, text: str) -> None:
        with suppress(OSError):  # a closed terminal must not end the work
            sys.stderr.write(text)
            sys.stderr.flush()


class BytesProgress:
    """Show how many bytes of a total are done, and the rate; any number of threads may update it.

    task: the name of the work. quiet: show nothing.
    """

    def __init__(self, task: str, total: int, quiet: bool = False):
        self.task, self.total, self.done = task, total, 0
        self._began = time.perf_counter()
        self._lock = threading.Lock()
        self._line = ProgressLine(quiet)

    def update(self, count: int) -> None:
        """Add count to the bytes done; negative when bytes have to be fetched again."""
        with self._lock:
            self.done += count
            if self._line.due():
                part = self.done / max(self.total, 1)
                sizes = f"{shown_size(self.done)} of {shown_size(self.total)}"
                rate = shown_size(self.done / self.seconds)
                self._line.show(f"{self.task}: {sizes} ({part:.0%}), {rate}/s")

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    def __enter__(self) -> "BytesProgress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.clear()
