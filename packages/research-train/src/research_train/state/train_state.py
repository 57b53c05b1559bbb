"""The content of a checkpoint's state.json: all state that is not a tensor."""

import math
from dataclasses import dataclass, field
from typing import Any

from research_data.batches.in_memory import BatchesState
from torch import Tensor

from research_train.state.random_state import RandomState
from research_train.state.stored_values import unpack

STATE = "state.json"
LARGEST = 2**63  # every count (steps, epochs, examples) is below


@dataclass
class TrainState:
    """All that a checkpoint holds besides tensors of model and optimizer.

    step: weight updates done. data: position in the data, None for a loader without one.
    random: every generator. losses: of the steps since the last line of metrics. scaler: state of
    the gradient scaler, for float16. best: the best value of the watched metric, and its step.
    evaluations: how many came since. ranks: the generators of all processes but the first.
    weights: how much each of the losses is a mean over. phases: [steps, end, best] of each that
    ended before (phases.py). lines: how many metrics.jsonl has. unevaluated: whether the evaluation
    of this step failed. moving: other changed state, by name (moving_state.py).
    """

    step: int = 0
    data: BatchesState | None = None
    random: RandomState = field(default_factory=RandomState.capture)
    losses: list[float] = field(default_factory=list)
    scaler: dict[str, Any] | None = None
    best: tuple[float, int] | None = None
    evaluations: int = 0
    ranks: list[dict[str, Any]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    phases: list[list[int | None]] = field(default_factory=list)
    lines: int | None = None
    unevaluated: bool = False
    moving: dict[str, Any] = field(default_factory=dict)


def read_train_state(content: dict[str, Any], tensors: dict[str, Tensor]) -> TrainState:
    """state.json as a TrainState. Raises TypeError, ValueError or KeyError if it isn't one."""
    del content["format"]
    moving = {name: unpack(value, tensors) for name, value in content.pop("moving", {}).items()}
    state = TrainState(**{**content, "random": RandomState(**content["random"]), "moving": moving})
    counts: dict[str, object] = {"step": state.step, "evaluations": state.evaluations}
    if state.data is not None:
        for name in ("epoch", "position", "examples"):
            counts[name] = state.data.get(name, 0)
    if state.best is not None:
        value, counts["best step"] = state.best
        _numbers("best", [value])
    for name, count in counts.items():
        if type(count) is not int or not 0 <= count < LARGEST:
            raise ValueError(f"{name} = {count!r} is not a count")
    _numbers("losses", state.losses)
    _numbers("weights", state.weights)
    if not isinstance(state.unevaluated, bool):
        raise TypeError(f"unevaluated = {state.unevaluated!r} is neither true nor false")
    if len(state.weights) not in (0, len(state.losses)):
        raise ValueError(f"{len(state.losses)} losses with {len(state.weights)} weights")
    for number, phase in enumerate(state.phases):  # steps, end, and the best where there is one
        known = phase if phase[2] is not None else phase[:2]
        counts |= {f"phases {number}, {place}": each for place, each in enumerate(known)}
    if state.lines is not None:
        counts["lines"] = state.lines
    if not isinstance(state.scaler, dict | None):
        raise TypeError(f"scaler = {state.scaler!r} is not a mapping")
    state.random.check()
    for rank in state.ranks:
        RandomState(**rank).check()
    return state


def _numbers(name: str, values: list[float]) -> None:
    if not isinstance(values, list) or not all(
        type(value) in (int, float) and math.isfinite(value) for value in values
    ):
        raise ValueError(f"{name} = {str(values)[:60]} is not a list of finite numbers")
