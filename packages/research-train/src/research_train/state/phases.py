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

    steps: how many it was to train. end: the run's step that it ended at, earlier where patience
    ended it. best: the run's step of its best checkpoint, by `keep_best`.
    """

    steps: int
    end: int
    best: int | None = None


def phases_before(checkpoint: Path) -> list[Phase]:
    """The phases that had ended when a checkpoint was written. One of before there were any: none.

    Raises RunError when it can't be read.
    """
    try:
        return [Phase(*phase) for phase in _state(checkpoint).get("phases", [])]
    except TypeError as error:
        raise RunError(f"{checkpoint / STATE}: phases cannot be read ({error})") from error


def lines_before(checkpoint: Path) -> int | None:
    """The lines metrics.jsonl had when a checkpoint was written; None where it doesn't say."""
    lines = _state(checkpoint).get("lines")
    return lines if isinstance(lines, int) else None


def refuse_another_length(number: int, passed: Phase, steps: int) -> None:
    """Raises RunError where a phase that others followed would now be of another length."""
    if passed.steps != steps:
        raise RunError(
            f"phase {number} of this run (its fit number {number + 1}) was to train {passed.steps} "
            f"steps, and now {steps}, but another phase followed it. Only the last phase of a run "
            "can be made longer: give the others their own lengths, fit(..., steps=N), or start a "
            "new run."
        )


def kept_steps(phases: Sequence[Phase]) -> set[int]:
    """The steps whose checkpoints stay: a resume passes through every phase's end."""
    return {phase.end for phase in phases} | {p.best for p in phases if p.best is not None}


def _state(checkpoint: Path) -> dict[str, Any]:
    try:
        content = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
        return dict(content)
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{checkpoint / STATE}: cannot be read ({error})") from error
