"""Write and verify checkpoints: folders of safetensors and JSON with a manifest.

step-00001000/model.safetensors      parameters and buffers under the model's own names
              optimizer.safetensors  the optimizer's tensors, `<parameter index>.<name>`; in place
                                     of it, of several processes that each have a part of them,
              optimizer/shard-*      the part of each (sharded_state.py)
              ema.safetensors        averaged parameters, if the training keeps them
              moving.safetensors     tensors that changed and are in no state_dict, if any
              config.json            of a model of transformers: `from_pretrained(folder)` reads it
              state.json             everything else: see TrainState
              manifest.json          size and sha256 of each file above
"""

import re
from pathlib import Path

import torch
from research_data.durable import new_folder, sha256_file, write_bytes, write_json
from research_data.errors import UnreadableError
from research_data.plain_files import read_json_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from research_train.errors import CheckpointError
from research_train.state.moving_state import put_back_model
from research_train.state.optimizer_state import Optimizers, fill_optimizer
from research_train.state.snapshot import (
    EMA,
    FORMAT,
    MODEL,
    MOVING,
    OPTIMIZER,
    SHARDS,
    TRANSFORMERS_CONFIG,
    Snapshot,
    content_as_json,
    named_tensors,
    refuse_unstorable,
    view_snapshot,
)
from research_train.state.stored_values import why_not_storable
from research_train.state.train_state import STATE, TrainState, read_train_state

MANIFEST = "manifest.json"
SHOWN_DIFFERENCES = 10
SHARD = re.compile(rf"{SHARDS}/[\w.-]+\.safetensors")

# What reading a damaged or forged file raises.
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
    refuse_unstorable(snapshot)
    for tensors in snapshot.tensors.values():
        _part(tensors)
    return write_snapshot(Path(folder), snapshot)


def write_snapshot(folder: Path, snapshot: Snapshot) -> Path:
    """Write a snapshot as the checkpoint folder, in one step. Raises as save_checkpoint does."""
    content = content_as_json(snapshot)
    with new_folder(folder) as partial:
        fill_folder(partial, snapshot, content)
    return folder


def fill_folder(partial: Path, snapshot: Snapshot, content: bytes) -> None:
    """Write a checkpoint's files into its folder, which may have shards of the optimizer already.

    content: of its state.json. The manifest, which covers all of them, comes last.
    """
    for name, tensors in snapshot.tensors.items():
        save_file(tensors, partial / name)
    # In one line: indented, every number of a generator's state would have its own.
    write_bytes(partial / STATE, content)
    names = [*snapshot.tensors, STATE]
    if snapshot.model_config is not None:
        write_bytes(partial / TRANSFORMERS_CONFIG, snapshot.model_config)
        names.append(TRANSFORMERS_CONFIG)
    names += sorted(f"{SHARDS}/{each.name}" for each in (partial / SHARDS).glob("*"))
    files = {}
    for name in names:
        (partial / name).chmod(0o644)  # safetensors makes its files private
        size = (partial / name).stat().st_size
        files[name] = {"size": size, "sha256": sha256_file(partial / name)}
    write_json(partial / MANIFEST, {"format": FORMAT, "files": files})


def load_checkpoint(
    folder: Path | str,
    model: nn.Module,
    optimizer: Optimizers | None = None,
    ema: nn.Module | None = None,
) -> TrainState:
    """Fill model, and optimizer and ema if given, from a checkpoint's folder; returns the rest.

    The model's other state (`get_extra_state`, changed attributes) is restored too, but not which
    parameters require gradients. Random generators are not: call `state.random.restore()`. Raises
    CheckpointError if the folder is not a checkpoint, is damaged, or its names, shapes and types
    aren't the model's; the model is then unchanged.
    """
    folder = Path(folder)
    names = verify_checkpoint(folder)
    has_moving = MOVING in names
    try:
        tensors = load_file(folder / MODEL)
        moving_tensors = _kept(load_file(folder / MOVING)) if has_moving else {}
        content = read_json_object(folder / STATE)
        settings = content.pop("optimizer")
        optimizer_tensors = {}
        if OPTIMIZER in names:
            optimizer_tensors = _kept(load_file(folder / OPTIMIZER))
        elif optimizer is not None:
            from research_train.state.sharded_state import read_shards

            optimizer_tensors = read_shards(folder, settings, model)
        state = read_train_state(content, moving_tensors)
        averaged = load_file(folder / EMA) if ema is not None else {}
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: holds no averaged parameters ({EMA})") from error
    except UNREADABLE as error:
        raise CheckpointError(f"{folder}: cannot be read ({error})") from error
    own = named_tensors(model)
    _refuse_differences(folder, tensors, own)
    own_averaged = named_tensors(ema) if ema is not None else {}
    _refuse_differences(folder, averaged, own_averaged)
    if any(hasattr(tensor, "full_tensor") for tensor in own.values()):
        from research_train.state.sharded_state import divided, like

        tensors = {name: like(tensor, own[name]) for name, tensor in tensors.items()}
        optimizer_tensors = divided(optimizer_tensors, settings, model)
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
            f"{folder}: is a file, but a checkpoint is a folder with {MODEL}. Pickled weights "
            "(.pt, .ckpt) are never read: convert them with safetensors.torch.save_file if you "
            "trust them."
        )
    try:
        manifest = read_json_object(folder / MANIFEST)
        version, files = manifest["format"], dict(manifest["files"])
    except UNREADABLE as error:
        raise CheckpointError(
            f"{folder}: has no readable {MANIFEST}, so it is not a complete checkpoint"
        ) from error
    if version != FORMAT:
        raise CheckpointError(
            f"{folder}: has format {version}, but this version reads format {FORMAT}"
        )
    shards = {name for name in files if SHARD.fullmatch(name)}
    needed = {MODEL, STATE, *(shards or [OPTIMIZER])}
    if set(files) - {EMA, MOVING, TRANSFORMERS_CONFIG} != needed:
        raise CheckpointError(f"{folder}: {MANIFEST} lists the wrong files: {sorted(files)}")
    for name, entry in files.items():
        try:
            # Its files must lie in its own folder.
            if (folder / name).is_symlink() or (folder / SHARDS).is_symlink():
                raise CheckpointError(f"{folder}: {name} is a link to somewhere else")
            sound = sha256_file(folder / name) == entry["sha256"]
        except (OSError, KeyError, TypeError) as error:
            raise CheckpointError(f"{folder}: {name} is missing or unreadable") from error
        if not sound:
            raise CheckpointError(f"{folder}: {name} is damaged, its sha256 differs")
    return sorted(files)


def _part(tensors: dict[str, Tensor]) -> None:
    """Give each tensor memory of its own, in order, as safetensors needs it."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if memory in seen else tensor.contiguous()
        seen.add(memory)


def _kept(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies in memory that torch aligned: a sum's last bits depend on the alignment."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


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
