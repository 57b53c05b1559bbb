"""The phases of a run, one for each `fit`, which share one count of steps."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from research_train.errors import RunError
from research_train.state.train_state import STATE


@dataclass(frozen=True)
class Phase:
    """A `fit` that has ended.

    steps: its planned length. end: the run's step at which it ended, earlier if `patience` ended
    it. best: the run's step of its best checkpoint, by `keep_best`.
    """

    steps: int
    end: int
    best: int | None = None


def phases_before(checkpoint: Path) -> list[Phase]:
    """The phases that had ended when a checkpoint was written; none in checkpoints of old versions.

    Raises RunError if it can't be read.
    """
    try:
        return [Phase(*phase) for phase in _state(checkpoint).get("phases", [])]
    except TypeError as error:
        raise RunError(f"{checkpoint / STATE}: phases cannot be read ({error})") from error


def lines_before(checkpoint: Path) -> int | None:
    """How many lines metrics.jsonl had when a checkpoint was written; None if not recorded."""
    lines = _state(checkpoint).get("lines")
    return lines if isinstance(lines, int) else None


def refuse_another_length(number: int, passed: Phase, steps: int) -> None:
    """Raise RunError if a phase that others followed would now have another length."""
    if passed.steps != steps:
        raise RunError(
            f"phase {number} of this run (its fit number {number + 1}) had {passed.steps} steps, "
            f"would now have {steps}, and another phase followed it. Only the last phase of a run "
            "can be made longer: give the others fixed lengths, fit(..., steps=N), or start a new "
            "run."
        )


def kept_steps(phases: Sequence[Phase]) -> set[int]:
    """The steps whose checkpoints are kept: a resume loads the one at every phase's end."""
    return {phase.end for phase in phases} | {p.best for p in phases if p.best is not None}


def _state(checkpoint: Path) -> dict[str, Any]:
    try:
        content = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return dict(content)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{checkpoint / STATE}: cannot be read ({error})") from error
