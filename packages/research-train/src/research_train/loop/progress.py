"""Show a training's progress on stderr: step, latest metrics, rate and time left."""

import time

from research_data.progress import ProgressLine


class Progress:
    """Shows how far a run is; costs one clock reading per step.

    total: steps in all. start: steps already done. quiet: show nothing.
    """

    def __init__(self, total: int, start: int = 0, quiet: bool = False):
        self.total = total
        self._start, self._began = start, time.perf_counter()
        self._line = ProgressLine(quiet)
        self._note = ""

    def update(self, step: int) -> None:
        """Say that `step` steps are done."""
        if step < self.total and not self._line.due():
            return
        rate = (step - self._start) / max(time.perf_counter() - self._began, 1e-9)
        left = (self.total - step) / max(rate, 1e-9)
        self._line.show(
            f"step {step}/{self.total} ({step / self.total:.0%})  {self._note}  "
            f"{rate:.0f} steps/s, {left:.0f} s left"
        )

    def note(self, text: str) -> None:
        """Show text (the latest metrics) beside the progress from now on."""
        self._note = text

    def close(self) -> None:
        """Leave the line as it stands and go to the next."""
        self._line.leave()
