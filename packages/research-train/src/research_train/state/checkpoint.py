"""Checkpoints: a folder of safetensors and JSON, verified by the manifest that is written last.

step-00001000/model.safetensors      parameters and buffers under the model's own names
              optimizer.safetensors  the optimizer's tensors, `<parameter index>.<name>`
              ema.safetensors        averaged parameters, where a training keeps them
              moving.safetensors     tensors that moved and no state_dict has, where there are any
              state.json             everything else: see TrainState
              manifest.json          size and sha256 of each file above
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from research_data.batches.in_memory import BatchesState
from research_data.durable import new_folder, sha256_file, write_bytes, write_json
from research_data.errors import UnreadableError
from research_data.plain_files import read_json_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from research_train.errors import CheckpointError
from research_train.state.optimizer_state import Optimizers, fill_optimizer, optimizer_parts
from research_train.state.owners import EXTRA
from research_train.state.random_state import RandomState
from research_train.state.stored_values import NotStorableError, pack, unpack, why_not_storable
from research_train.state.training_state import extra_state, put_back_model

FORMAT = 1
MODEL, OPTIMIZER, EMA = "model.safetensors", "optimizer.safetensors", "ema.safetensors"
MOVING = "moving.safetensors"
STATE, MANIFEST = "state.json", "manifest.json"
SHOWN_DIFFERENCES = 10
LARGEST = 2**63  # of a count: steps, epochs, examples


# What reading a file raises that is damaged or forged.
UNREADABLE = (
    SafetensorError,
    UnreadableError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RuntimeError,
    RecursionError,
    OverflowError,
)


@dataclass
class TrainState:
    """All that a checkpoint holds besides tensors of model and optimizer.

    step: weight updates done. data: position in the data, None for a loader without one.
    random: every generator. losses: of the steps since the last line of metrics. scaler: of the
    gradients in float16. best: the best value of the metric that is watched, and its step;
    evaluations: how many there were since. ranks: the generators of the processes but the first.
    weights: what each of the losses is a mean over. phases: [steps, end, best] of each that ended
    before (phases.py). lines: of metrics.jsonl. unevaluated: an evaluation of this step failed.
    moving: what else moved, by name (training_state.py).
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


@dataclass
class Snapshot:
    """What a checkpoint holds: tensors by file and name, and the content of state.json."""

    tensors: dict[str, dict[str, Tensor]]
    content: dict[str, Any]


def save_checkpoint(
    folder: Path | str,
    model: nn.Module,
    optimizer: Optimizers | None = None,
    state: TrainState | None = None,
) -> Path:
    """Write a checkpoint to folder, which must not exist, in one step; returns it.

    Raises FileExistsError, StorageError, and CheckpointError for what no checkpoint can hold. Tied
    parameters are stored once, under their first name.
    """
    snapshot = view_snapshot(model, optimizer, state or TrainState())
    for tensors in snapshot.tensors.values():
        _part(tensors)
    return write_snapshot(Path(folder), snapshot)


def view_snapshot(
    model: nn.Module,
    optimizer: Optimizers | None,
    state: TrainState,
    ema: nn.Module | None = None,
) -> Snapshot:
    """What a checkpoint of these holds now; its tensors are theirs, not copies.

    Raises CheckpointError for what no checkpoint can hold.
    """
    tensors, settings = optimizer_parts(optimizer, model) if optimizer else ({}, None)
    moving_tensors: dict[str, Tensor] = {}
    moving = {
        name: _packed(name, value, moving_tensors)
        for name, value in {**extra_state(model), **state.moving}.items()
    }
    # Not dataclasses.asdict: copying every word of the generators takes milliseconds.
    content = {
        "format": FORMAT,
        "optimizer": settings,
        **vars(state),
        "random": vars(state.random),
    }
    del content["moving"]
    if moving:
        content["moving"] = moving
    files = {MODEL: _model_tensors(model), OPTIMIZER: tensors}
    if ema is not None:
        files[EMA] = _model_tensors(ema)
    if moving_tensors:
        files[MOVING] = moving_tensors
    return Snapshot(files, content)


def refuse_unstorable(snapshot: Snapshot) -> None:
    """A save without a disk: raises CheckpointError for what could not be written or filled."""
    for tensors in snapshot.tensors.values():
        for name, tensor in tensors.items():
            if reason := why_not_storable(tensor):
                raise CheckpointError(
                    f"{name}, a tensor of shape {_shape(tensor)}, {reason}. No checkpoint could be "
                    "written of this training."
                )
    _as_json(snapshot)


def write_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Write a snapshot as the checkpoint folder, in one step. Raises as save_checkpoint does."""
    content = _as_json(snapshot)
    with new_folder(folder) as partial:
        for name, tensors in snapshot.tensors.items():
            save_file(tensors, partial / name)
        # In one line: indented, every word of a generator's state would stand on its own.
        write_bytes(partial / STATE, content)
        files = {}
        for name in (*snapshot.tensors, STATE):
            (partial / name).chmod(0o644)  # safetensors makes its files private
            size = (partial / name).stat().st_size
            files[name] = {"size": size, "sha256": sha256_file(partial / name)}
        write_json(partial / MANIFEST, {"format": FORMAT, "files": files})
    return folder


def load_checkpoint(
    folder: Path | str,
    model: nn.Module,
    optimizer: Optimizers | None = None,
    ema: nn.Module | None = None,
) -> TrainState:
    """Fill model, and optimizer and ema if given, from a checkpoint's folder; returns the rest.

    What the model keeps besides tensors (`get_extra_state`, attributes that moved) is given back
    too; which parts train stays as it is. The generators are not touched: `state.random.restore()`
    does that. Raises CheckpointError when the folder is no checkpoint, is damaged, or its names,
    shapes and types aren't the model's; the model is then as it was.
    """
    folder = Path(folder)
    has_moving = MOVING in verify_checkpoint(folder)
    try:
        tensors = load_file(folder / MODEL)
        optimizer_tensors = _kept(load_file(folder / OPTIMIZER))
        moving_tensors = _kept(load_file(folder / MOVING)) if has_moving else {}
        content = read_json_object(folder / STATE)
        settings = content.pop("optimizer")
        state = _state(content, moving_tensors)
        averaged = load_file(folder / EMA) if ema is not None else {}
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: holds no averaged parameters ({EMA})") from error
    except UNREADABLE as error:
        raise CheckpointError(f"{folder}: cannot be read ({error})") from error
    own = _named_tensors(model)
    _refuse_differences(folder, tensors, own)
    own_averaged = _named_tensors(ema) if ema is not None else {}
    _refuse_differences(folder, averaged, own_averaged)
    if optimizer is not None:
        fill_optimizer(str(folder), optimizer, model, optimizer_tensors, settings)
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
        for name, tensor in averaged.items():
            own_averaged[name].copy_(tensor)
    put_back_model(model, state.moving)
    return state


def verify_checkpoint(folder: Path) -> list[str]:
    """Hash every file of a checkpoint against its manifest; returns their names.

    Raises CheckpointError.
    """
    if folder.is_file():
        raise CheckpointError(
            f"{folder}: is a file, a checkpoint is a folder with {MODEL}. Pickled weights (.pt, "
            ".ckpt) are never read: convert them with safetensors.torch.save_file where you trust "
            "them."
        )
    try:
        manifest = read_json_object(folder / MANIFEST)
        version, files = manifest["format"], dict(manifest["files"])
    except UNREADABLE as error:
        raise CheckpointError(
            f"{folder}: no readable {MANIFEST}, so not a whole checkpoint"
        ) from error
    if version != FORMAT:
        raise CheckpointError(f"{folder}: format {version}, this version reads {FORMAT}")
    if set(files) - {EMA, MOVING} != {MODEL, OPTIMIZER, STATE}:
        raise CheckpointError(f"{folder}: {MANIFEST} names {sorted(files)}")
    for name, entry in files.items():
        try:
            if (folder / name).is_symlink():  # a checkpoint is what lies in its folder
                raise CheckpointError(f"{folder}: {name} is a link to somewhere else")
            sound = sha256_file(folder / name) == entry["sha256"]
        except (OSError, KeyError, TypeError) as error:
            raise CheckpointError(f"{folder}: {name} is missing or unreadable") from error
        if not sound:
            raise CheckpointError(f"{folder}: {name} is damaged, its sha256 differs")
    return sorted(files)


def _named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, a tied one only under its first name."""
    named: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name.endswith(EXTRA):  # of a module's own making: with what else moves
            continue
        if isinstance(tensor, Tensor) and id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor if why_not_storable(tensor) else tensor.detach().contiguous()
        for name, tensor in _named_tensors(model).items()
    }


def _part(tensors: dict[str, Tensor]) -> None:
    """Give each tensor memory of its own, in order, as safetensors needs it."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        if reason := why_not_storable(tensor):
            raise CheckpointError(f"{name}, a tensor of shape {_shape(tensor)}, {reason}")
        memory = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if memory in seen else tensor.contiguous()
        seen.add(memory)


def _kept(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies, in memory as torch lays it out: a sum's last bits depend on where numbers lie."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _packed(name: str, value: object, tensors: dict[str, Tensor]) -> Any:
    try:
        return pack(value, name, tensors)
    except NotStorableError as error:
        raise CheckpointError(f"{name} is {error}, which a checkpoint can't hold") from error


def _as_json(snapshot: Snapshot) -> bytes:
    try:
        return json.dumps(snapshot.content).encode()
    except (TypeError, ValueError, RecursionError) as error:  # an integer of 5,000 digits, say
        raise CheckpointError(
            f"the state of the optimizer or of the data can't be stored: {error}"
        ) from error


def _shape(tensor: Tensor) -> object:
    try:
        return tuple(tensor.shape)
    except RuntimeError:  # a lazy layer's
        return "yet unknown"


def _state(content: dict[str, Any], tensors: dict[str, Tensor]) -> TrainState:
    """state.json as a TrainState. Raises TypeError, ValueError or KeyError: it can't be one."""
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
            raise ValueError(f"{name} = {count!r} is no count")
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
        raise TypeError(f"scaler = {state.scaler!r} is no mapping")
    state.random.check()
    for rank in state.ranks:
        RandomState(**rank).check()
    return state


def _numbers(name: str, values: list[float]) -> None:
    if not isinstance(values, list) or not all(
        type(value) in (int, float) and math.isfinite(value) for value in values
    ):
        raise ValueError(f"{name} = {str(values)[:60]} are no finite numbers")


def _refuse_differences(folder: Path, stored: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    differences = [f"{name}: not in the model" for name in stored.keys() - own.keys()]
    differences += [f"{name}: not in the checkpoint" for name in own.keys() - stored.keys()]
    for name in stored.keys() & own.keys():
        there, here = stored[name], own[name]
        if (reason := why_not_storable(here)) is not None:
            differences.append(f"{name}: can't be filled, it {reason}")
        elif there.shape != here.shape:
            differences.append(
                f"{name}: {tuple(there.shape)} in the checkpoint, {tuple(here.shape)} here"
            )
        elif there.dtype != here.dtype:
            differences.append(f"{name}: {there.dtype} in the checkpoint, {here.dtype} here")
    if differences:
        shown = sorted(differences)[:SHOWN_DIFFERENCES]
        rest = len(differences) - len(shown)
        raise CheckpointError(
            f"{folder}: is of another model:\n  "
            + "\n  ".join(shown)
            + (f"\n  and {rest} more" if rest else "")
        )
