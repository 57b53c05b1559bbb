"""Checkpoints: a folder of safetensors and JSON, verified by the manifest that is written last.

step-00001000/model.safetensors      parameters and buffers under the model's own names
              optimizer.safetensors  the optimizer's tensors, `<parameter index>.<name>`
              ema.safetensors        averaged parameters, where a training keeps them
              state.json             everything else: see TrainState
              manifest.json          size and sha256 of each file above
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from research_data.batches import BatchesState
from research_data.durable import new_folder, sha256_file, write_bytes, write_json
from research_data.errors import UnreadableError
from research_data.plain_files import read_json_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from research_train.errors import CheckpointError
from research_train.random_state import RandomState

FORMAT = 1
MODEL, OPTIMIZER, EMA = "model.safetensors", "optimizer.safetensors", "ema.safetensors"
STATE, MANIFEST = "state.json", "manifest.json"
SHOWN_DIFFERENCES = 10

Optimizers = Optimizer | Mapping[str, Optimizer]  # several, where a training steps several


@dataclass
class TrainState:
    """All that a checkpoint holds besides tensors of model and optimizer.

    step: weight updates done. data: position in the data, None for a loader without one.
    random: every generator. losses: of the steps since the last line of metrics. scaler: of the
    gradients in float16. best: the best value of the metric that is watched, and its step;
    evaluations: how many there were since. ranks: the generators of the processes but the first.
    """

    step: int = 0
    data: BatchesState | None = None
    random: RandomState = field(default_factory=RandomState.capture)
    losses: list[float] = field(default_factory=list)
    scaler: dict[str, Any] | None = None
    best: tuple[float, int] | None = None
    evaluations: int = 0
    ranks: list[dict[str, Any]] = field(default_factory=list)


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

    Raises FileExistsError, StorageError. Tied parameters are stored once, under their first name.
    """
    return write_snapshot(Path(folder), view_snapshot(model, optimizer, state or TrainState()))


def view_snapshot(
    model: nn.Module,
    optimizer: Optimizers | None,
    state: TrainState,
    ema: nn.Module | None = None,
) -> Snapshot:
    """What a checkpoint of these holds now; its tensors are theirs, not copies."""
    tensors, settings = _optimizer_parts(optimizer) if optimizer else ({}, None)
    # Not dataclasses.asdict: copying every word of the generators takes milliseconds.
    content = {
        "format": FORMAT,
        "optimizer": settings,
        **vars(state),
        "random": vars(state.random),
    }
    files = {MODEL: _model_tensors(model), OPTIMIZER: tensors}
    if ema is not None:
        files[EMA] = _model_tensors(ema)
    return Snapshot(files, content)


def write_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Write a snapshot as the checkpoint folder, in one step. Raises as save_checkpoint does."""
    with new_folder(folder) as partial:
        for name, tensors in snapshot.tensors.items():
            save_file(tensors, partial / name)
        # In one line: indented, every word of a generator's state would stand on its own.
        write_bytes(partial / STATE, json.dumps(snapshot.content).encode())
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

    The generators are not touched: `state.random.restore()` does that. Raises CheckpointError when
    the folder is no checkpoint, is damaged, or its names and shapes aren't the model's; the model
    is then as it was.
    """
    folder = Path(folder)
    verify_checkpoint(folder)
    try:
        tensors = load_file(folder / MODEL)
        optimizer_tensors = load_file(folder / OPTIMIZER)
        content = read_json_object(folder / STATE)
        settings = content.pop("optimizer")
        content.pop("format")
        state = TrainState(**{**content, "random": RandomState(**content["random"])})
        averaged = load_file(folder / EMA) if ema is not None else {}
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: holds no averaged parameters ({EMA})") from error
    except (
        SafetensorError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        UnreadableError,
    ) as error:
        raise CheckpointError(f"{folder}: cannot be read ({error})") from error
    own = _named_tensors(model)
    _refuse_differences(folder, tensors, own)
    own_averaged = _named_tensors(ema) if ema is not None else {}
    _refuse_differences(folder, averaged, own_averaged)
    if optimizer is not None:
        _fill_optimizer(folder, optimizer, optimizer_tensors, settings)
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
        for name, tensor in averaged.items():
            own_averaged[name].copy_(tensor)
    return state


def verify_checkpoint(folder: Path) -> None:
    """Hash every file of a checkpoint against its manifest. Raises CheckpointError."""
    if folder.is_file():
        raise CheckpointError(
            f"{folder}: is a file, a checkpoint is a folder with {MODEL}. Pickled weights (.pt, "
            ".ckpt) are never read: convert them with safetensors.torch.save_file where you trust "
            "them."
        )
    try:
        manifest = read_json_object(folder / MANIFEST)
        version, files = manifest["format"], dict(manifest["files"])
    except (OSError, ValueError, KeyError, TypeError, UnreadableError) as error:
        raise CheckpointError(
            f"{folder}: no readable {MANIFEST}, so not a whole checkpoint"
        ) from error
    if version != FORMAT:
        raise CheckpointError(f"{folder}: format {version}, this version reads {FORMAT}")
    if set(files) - {EMA} != {MODEL, OPTIMIZER, STATE}:
        raise CheckpointError(f"{folder}: {MANIFEST} names {sorted(files)}")
    for name, entry in files.items():
        try:
            sound = sha256_file(folder / name) == entry["sha256"]
        except (OSError, KeyError, TypeError) as error:
            raise CheckpointError(f"{folder}: {name} is missing or unreadable") from error
        if not sound:
            raise CheckpointError(f"{folder}: {name} is damaged, its sha256 differs")


def _named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, a tied one only under its first name."""
    named: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor) and id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in _named_tensors(model).items()}


def _refuse_differences(folder: Path, stored: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    differences = [f"{name}: not in the model" for name in stored.keys() - own.keys()]
    differences += [f"{name}: not in the checkpoint" for name in own.keys() - stored.keys()]
    differences += [
        f"{name}: {tuple(stored[name].shape)} in the checkpoint, {tuple(own[name].shape)} here"
        for name in stored.keys() & own.keys()
        if stored[name].shape != own[name].shape
    ]
    if differences:
        shown = sorted(differences)[:SHOWN_DIFFERENCES]
        rest = len(differences) - len(shown)
        raise CheckpointError(
            f"{folder}: is of another model:\n  "
            + "\n  ".join(shown)
            + (f"\n  and {rest} more" if rest else "")
        )


def _optimizer_parts(optimizer: Optimizers) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's tensors by `<parameter index>.<name>`, and the rest of it as JSON.

    Of several, each tensor's name begins with `<optimizer's name>/`.
    """
    if isinstance(optimizer, Mapping):
        parts = {name: _optimizer_parts(each) for name, each in optimizer.items()}
        tensors = {f"{name}/{key}": t for name, (ts, _) in parts.items() for key, t in ts.items()}
        return tensors, {"several": {name: settings for name, (_, settings) in parts.items()}}
    content = optimizer.state_dict()
    tensors = {}
    scalars: dict[str, dict[str, Any]] = {}
    for index, values in content["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"{index}.{name}"] = value.contiguous()
            else:
                scalars.setdefault(str(index), {})[name] = value
    groups = [
        {k: v.item() if isinstance(v, Tensor) else v for k, v in group.items()}
        for group in content["param_groups"]
    ]
    kind = type(optimizer).__name__
    return tensors, {"kind": kind, "state": scalars, "param_groups": groups}


def _fill_optimizer(
    folder: Path, optimizer: Optimizers, tensors: dict[str, Tensor], settings: dict[str, Any] | None
) -> None:
    if isinstance(optimizer, Mapping):
        several = (settings or {}).get("several", {})
        if several.keys() != optimizer.keys():
            raise CheckpointError(
                f"{folder}: holds the optimizers {sorted(several)}, not {sorted(optimizer)}"
            )
        for name, each in optimizer.items():
            own = {
                k.removeprefix(f"{name}/"): t
                for k, t in tensors.items()
                if k.startswith(f"{name}/")
            }
            _fill_optimizer(folder, each, own, several[name])
        return
    kind = type(optimizer).__name__
    if settings is None or settings.get("kind") != kind:
        held = settings.get("kind", "several optimizers") if settings else "no optimizer"
        raise CheckpointError(f"{folder}: holds the state of {held}, not of {kind}")
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in settings["state"].items()}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    groups = [
        {key: _like(value, own.get(key)) for key, value in group.items()}
        for group, own in zip(settings["param_groups"], optimizer.param_groups, strict=False)
    ]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except ValueError as error:
        raise CheckpointError(f"{folder}: the optimizer does not fit ({error})") from error


def _like(value: Any, own: Any) -> Any:
    """A JSON value in the type the optimizer keeps it in: betas are a tuple there."""
    return tuple(value) if isinstance(own, tuple) else value
