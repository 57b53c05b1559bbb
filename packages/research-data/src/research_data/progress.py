"""Progress of long work on stderr: a bar where people look, else a line now and then."""

import sys
import threading
import time
from types import TracebackType

from research_data.shown import say, shown_size

PLAIN_INTERVAL = 5.0  # seconds between two plain lines


class BytesProgress:
    """Shows how many of some bytes are done, with the rate; from any number of threads.

    task: what is being done. quiet shows nothing.
    """

    def __init__(self, task: str, total: int, quiet: bool = False):
        self.task, self.total, self.done = task, total, 0
        self._began = time.perf_counter()
        self._next = self._began + PLAIN_INTERVAL
        self._lock = threading.Lock()
        self._quiet = quiet
        self._bar = None
        if not quiet and (sys.stderr.isatty() or "ipykernel" in sys.modules):
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=total, desc=task, unit="B", unit_scale=True, dynamic_ncols=True, leave=False
            )

    def update(self, count: int) -> None:
        """Say that so many more bytes are done; less than none when they must come again."""
        with self._lock:
            self.done += count
            if self._bar is not None:
                self._bar.update(count)
            elif not self._quiet and time.perf_counter() >= self._next:
                self._next = time.perf_counter() + PLAIN_INTERVAL
                rate = self.done / (time.perf_counter() - self._began)
                part = self.done / max(self.total, 1)
                sizes = f"{shown_size(self.done)} of {shown_size(self.total)}"
                say(f"{self.task}: {sizes} ({part:.0%}), {shown_size(rate)}/s")

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._began

    def __enter__(self) -> "BytesProgress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
