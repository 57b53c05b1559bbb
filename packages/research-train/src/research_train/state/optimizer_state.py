"""Save and load an optimizer's state, with groups by the names of their parameters."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn, tensor
from torch.optim import Optimizer

from research_train.errors import CheckpointError
from research_train.state.stored_values import (
    NotStorableError,
    moved_to,
    pack,
    unpack,
    why_not_storable,
)

Optimizers = Optimizer | Mapping[str, Optimizer]  # one, or several by name


def each_optimizer(optimizer: Optimizers) -> dict[str, Optimizer]:
    """The optimizers by name; the name of a single one is empty."""
    return dict(optimizer) if isinstance(optimizer, Mapping) else {"": optimizer}


def parameter_names(model: nn.Module) -> dict[int, str]:
    """id of each parameter -> its first name in the model."""
    return {id(parameter): name for name, parameter in model.named_parameters()}


def optimizer_parts(
    optimizer: Optimizers, model: nn.Module
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The optimizer's tensors by `<parameter index>.<name>`, and the rest of it as JSON.

    With several optimizers, each tensor's name begins with `<optimizer's name>/`. Raises
    CheckpointError for what can't be stored.
    """
    if isinstance(optimizer, Mapping):
        parts = {name: optimizer_parts(each, model) for name, each in optimizer.items()}
        tensors = {f"{name}/{key}": t for name, (ts, _) in parts.items() for key, t in ts.items()}
        return tensors, {"several": {name: settings for name, (_, settings) in parts.items()}}
    kind, names = type(optimizer).__name__, parameter_names(model)
    content = optimizer.state_dict()
    tensors = {}
    scalars: dict[str, dict[str, Any]] = {}
    nested: dict[str, dict[str, Any]] = {}
    try:
        for index, values in content["state"].items():
            if not isinstance(index, int):
                continue  # belongs to no parameter: packed below
            for name, value in values.items():
                place = f"{index}.{name}"
                if isinstance(value, Tensor) and not why_not_storable(value):
                    tensors[place] = value.detach().contiguous()
                elif value is None or type(value) in (bool, int, float):
                    scalars.setdefault(str(index), {})[name] = value
                else:  # lists of tensors, say: L-BFGS's directions
                    nested.setdefault(str(index), {})[name] = pack(value, place, tensors)
        rest = {k: v for k, v in content.items() if k not in ("state", "param_groups")}
        place = "others"
        others = {k: v for k, v in content["state"].items() if not isinstance(k, int)}
        packed = pack([others, rest], place, tensors) if others or rest else None
        groups = []
        for number, group in enumerate(content["param_groups"]):
            place = f"group {number}"
            groups.append({key: _as_json(value) for key, value in group.items()})
    except NotStorableError as error:
        raise CheckpointError(
            f"{kind}: its {place} holds {error}, which a checkpoint can't hold, so this training "
            "could not be resumed"
        ) from error
    settings: dict[str, Any] = {"kind": kind, "state": scalars, "param_groups": groups}
    settings["names"] = [
        [names.get(id(parameter)) for parameter in group["params"]]
        for group in optimizer.param_groups
    ]
    if nested:
        settings["nested"] = nested
    if packed is not None:
        settings["others"] = packed
    return tensors, settings


def fill_optimizer(
    where: str,
    optimizer: Optimizers,
    model: nn.Module,
    tensors: dict[str, Tensor],
    settings: dict[str, Any] | None,
) -> None:
    """Restore an optimizer's state, and the parameter groups that were added after it was made.

    where: the checkpoint, for messages. Raises CheckpointError if it doesn't fit.
    """
    if not isinstance(settings, dict | None):
        raise CheckpointError(f"{where}: holds {type(settings).__name__} as an optimizer's state")
    if isinstance(optimizer, Mapping):
        several = (settings or {}).get("several", {})
        if not isinstance(several, dict):
            raise CheckpointError(f"{where}: holds no optimizers by name")
        if several.keys() != optimizer.keys():
            raise CheckpointError(
                f"{where}: holds the optimizers {sorted(several)}, not {sorted(optimizer)}"
            )
        for name, each in optimizer.items():
            own = {
                k.removeprefix(f"{name}/"): t
                for k, t in tensors.items()
                if k.startswith(f"{name}/")
            }
            fill_optimizer(where, each, model, own, several[name])
        return
    kind = type(optimizer).__name__
    if settings is None or settings.get("kind") != kind:
        held = settings.get("kind", "several optimizers") if settings else "no optimizer"
        raise CheckpointError(f"{where}: holds the state of {held}, not of {kind}")
    try:
        _fill(optimizer, model, tensors, settings)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{where}: the optimizer does not fit ({error})") from error


def _fill(
    optimizer: Optimizer, model: nn.Module, tensors: dict[str, Tensor], settings: dict[str, Any]
) -> None:
    state: dict[Any, dict[str, Any]] = {int(k): dict(v) for k, v in settings["state"].items()}
    nested = {
        (int(index), name): unpack(packed, tensors)
        for index, each in settings.get("nested", {}).items()
        for name, packed in each.items()
    }
    for place, value in tensors.items():
        index, dot, name = place.partition(".")
        if dot and "/" not in name and index.isdigit():
            state.setdefault(int(index), {})[name] = value
    for (number, name), value in nested.items():
        state.setdefault(number, {})[name] = value
    stored = settings["param_groups"]
    indices = [index for group in stored for index in group["params"]]
    if len(set(indices)) != len(indices) or not state.keys() <= set(indices):
        raise ValueError("its state has parameters that are in no group, or in two")
    _add_groups(optimizer, model, stored, settings.get("names"))
    groups = [
        {
            key: _like(value, own.get(key, optimizer.defaults.get(key)))
            for key, value in group.items()
        }
        for group, own in zip(stored, optimizer.param_groups, strict=True)
    ]
    others, rest = unpack(settings["others"], tensors) if settings.get("others") else ({}, {})
    if type(optimizer).load_state_dict is not Optimizer.load_state_dict:
        # The class's own method restores what torch's doesn't know.
        optimizer.load_state_dict({"state": {**state, **others}, "param_groups": groups, **rest})
        return
    plain = {
        index: {name: value for name, value in each.items() if (index, name) not in nested}
        for index, each in state.items()
    }
    optimizer.load_state_dict({"state": {**plain, **others}, "param_groups": groups})
    # torch's method casts every tensor to its parameter's dtype, and takes nested values apart.
    for index, parameter in zip(indices, _parameters(optimizer), strict=True):
        for name, value in state.get(index, {}).items():
            own = optimizer.state[parameter].get(name)
            if isinstance(value, Tensor) and isinstance(own, Tensor) and own.dtype != value.dtype:
                optimizer.state[parameter][name] = value.to(own.device)
            elif (index, name) in nested:
                optimizer.state[parameter][name] = moved_to(value, parameter.device)


def _add_groups(
    optimizer: Optimizer,
    model: nn.Module,
    stored: list[dict[str, Any]],
    names: list[list[str | None]] | None,
) -> None:
    """Add the parameters and groups that the checkpoint has and that were added in training."""
    known = parameter_names(model)
    own = [[known.get(id(p)) for p in group["params"]] for group in optimizer.param_groups]
    if names is None or any(name is None for group in names for name in group):
        names = [list(group) for group in own]  # by order, as older versions stored them
    if [len(group["params"]) for group in stored] != [len(group) for group in names]:
        raise ValueError(
            f"its groups have {[len(group['params']) for group in stored]} parameters, not "
            f"{[len(group) for group in names]}"
        )
    for number, group in enumerate(own):
        if number >= len(names) or names[number][: len(group)] != group:
            there = names[number] if number < len(names) else "no such group"
            raise ValueError(f"group {number} has {group} here, but {there} in the checkpoint")
    parameters = dict(model.named_parameters())
    for number, group in enumerate(names):
        added = [
            parameters[str(name)] for name in group[len(own[number]) if number < len(own) else 0 :]
        ]
        if number >= len(own):
            given = {k: v for k, v in stored[number].items() if k != "params"}
            defaults = optimizer.defaults
            given = {key: _like(value, defaults.get(key)) for key, value in given.items()}
            optimizer.add_param_group({**given, "params": added})
        elif added:
            optimizer.param_groups[number]["params"].extend(added)


def _parameters(optimizer: Optimizer) -> Iterator[Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def _as_json(value: object) -> Any:
    """A setting of a group: a number, text, truth value, None, or lists and mappings of these."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _as_json(each) for key, each in value.items()}
    raise NotStorableError(f"a {type(value).__name__}")


def _like(value: Any, own: Any) -> Any:
    """A JSON value in the type the optimizer keeps it in: betas are a tuple there."""
    if isinstance(own, Tensor):
        return tensor(value, dtype=own.dtype, device=own.device).reshape(own.shape)
    return tuple(value) if isinstance(own, tuple) and isinstance(value, list) else value
