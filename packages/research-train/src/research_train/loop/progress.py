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
        self._warm = False

    def update(self, step: int) -> None:
        """Say that `step` steps are done."""
        if not self._warm:  # the first step also compiles, reserves memory, opens files
            self._warm, self._start, self._began = True, step, time.perf_counter()
        if step < self.total and not self._line.due():
            return
        line = f"step {step}/{self.total} ({step / self.total:.0%})  {self._note}"
        if done := step - self._start:
            rate = done / max(time.perf_counter() - self._began, 1e-9)
            line += f"  {rate:.0f} steps/s, {(self.total - step) / rate:.0f} s left"
        self._line.show(line)

    def note(self, text: str) -> None:
        """Show a text, the latest metrics, beside the progress from now on."""
        self._note = text

    def close(self) -> None:
        """Leave the line as it stands and go to the next."""
        self._line.leave()
