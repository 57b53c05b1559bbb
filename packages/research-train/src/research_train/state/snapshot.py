"""Take a snapshot of a training for a checkpoint: tensors by name, and JSON."""

import json
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from research_train.errors import CheckpointError
from research_train.state.moving_state import extra_state
from research_train.state.optimizer_state import Optimizers, optimizer_parts
from research_train.state.owners import EXTRA
from research_train.state.stored_values import NotStorableError, pack, why_not_storable
from research_train.state.train_state import TrainState

FORMAT = 1
MODEL, OPTIMIZER, EMA = "model.safetensors", "optimizer.safetensors", "ema.safetensors"
MOVING = "moving.safetensors"
SHARDS = "optimizer"  # the folder in place of OPTIMIZER, if each process had a part of it
TRANSFORMERS_CONFIG = "config.json"


@dataclass
class Snapshot:
    """What a checkpoint holds: tensors by file and name, and the content of state.json.

    model_config: the content of config.json; None for a model that isn't of transformers.
    """

    tensors: dict[str, dict[str, Tensor]]
    content: dict[str, Any]
    model_config: bytes | None = None


def view_snapshot(
    model: nn.Module,
    optimizer: Optimizers | None,
    state: TrainState,
    ema: nn.Module | None = None,
) -> Snapshot:
    """What a checkpoint would hold now; its tensors are the model's own, not copies.

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
    return Snapshot(files, content, _transformers_config(model))


def refuse_unstorable(snapshot: Snapshot) -> None:
    """Raise CheckpointError for what could not be written to a checkpoint or loaded from it."""
    for tensors in snapshot.tensors.values():
        for name, tensor in tensors.items():
            if reason := why_not_storable(tensor):
                raise CheckpointError(
                    f"{name}, a tensor of shape {_shape(tensor)}, {reason}. This training could "
                    "write no checkpoint."
                )
    content_as_json(snapshot)


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, a tied one only under its first name."""
    named: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name.endswith(EXTRA):  # extra state is stored with the moving state
            continue
        if isinstance(tensor, Tensor) and id(tensor) not in seen:
            seen.add(id(tensor))
            named[name] = tensor
    return named


def _transformers_config(model: nn.Module) -> bytes | None:
    """What `from_pretrained` makes a model of transformers from; None for another model."""
    as_json = getattr(getattr(model, "config", None), "to_json_string", None)
    if as_json is None or not hasattr(model, "save_pretrained"):
        return None
    config = json.loads(as_json())
    dtype = next((each.dtype for each in model.parameters() if each.is_floating_point()), None)
    # Not the class that torch's fully_shard derives from the model's.
    kind = next(c for c in type(model).__mro__ if not c.__module__.startswith("torch.distributed"))
    own: dict[str, object] = {"architectures": [kind.__name__]}
    if dtype is not None:
        own["dtype"] = str(dtype).removeprefix("torch.")
    return (json.dumps(config | own, indent=2, sort_keys=True) + "\n").encode()


def _model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor if why_not_storable(tensor) else tensor.detach().contiguous()
        for name, tensor in named_tensors(model).items()
    }


def _packed(name: str, value: object, tensors: dict[str, Tensor]) -> Any:
    try:
        return pack(value, name, tensors)
    except NotStorableError as error:
        raise CheckpointError(f"{name} is {error}, which a checkpoint can't hold") from error


def content_as_json(snapshot: Snapshot) -> bytes:
    """The content of state.json. Raises CheckpointError for what JSON has no form for."""
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
        return "not known yet"
