"""Progress of a loop on stderr: a bar at a terminal, a plain line now and then elsewhere."""

import sys
import time

from research_data.shown import printable, say

PLAIN_INTERVAL = 5.0  # seconds between two plain lines
BAR_INTERVAL = 0.2


class Progress:
    """Shows how far a run is; costs a look at the clock a step.

    total, start: steps in all, and already done. quiet shows nothing.
    """

    def __init__(self, total: int, start: int = 0, quiet: bool = False):
        self.total = total
        self.quiet = quiet
        self._start, self._began = start, time.perf_counter()
        self._bar = None
        if not quiet and sys.stderr.isatty():
            from tqdm import tqdm  # here: launch.py needs only `say`

            self._bar = tqdm(total=total, initial=start, unit="step", dynamic_ncols=True)
        self._interval = BAR_INTERVAL if self._bar is not None else PLAIN_INTERVAL
        self._next = self._began + self._interval
        self._note = ""

    def update(self, step: int) -> None:
        """Say that `step` steps are done."""
        if self.quiet or (time.perf_counter() < self._next and step < self.total):
            return
        self._next = time.perf_counter() + self._interval
        if self._bar is not None:
            self._bar.set_postfix_str(self._note, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        rate = (step - self._start) / max(time.perf_counter() - self._began, 1e-9)
        left = (self.total - step) / rate
        say(
            f"step {step}/{self.total} ({step / self.total:.0%})  {self._note}  "
            f"{rate:.0f} steps/s, {left:.0f} s left"
        )

    def note(self, text: str) -> None:
        """Show text (the latest metrics) beside the progress from now on."""
        self._note = printable(text)

    def close(self) -> None:
        """Leave the bar as it stands and go to the next line."""
        if self._bar is not None:
            self._bar.close()
