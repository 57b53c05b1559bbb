"""Read and write the state of modules, optimizers and functions by name."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from itertools import chain
from types import BuiltinMethodType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from research_train.state.stored_values import moved_to, put_into

MODEL, AVERAGED = "model", "averaged"  # the holders whose tensors have files of their own
EXTRA = "_extra_state"  # torch's name for what `get_extra_state` returns
REQUIRES_GRAD = ".requires_grad"
TRAINING = "training"

# Attributes that torch gives every module: hooks, tables of parameters, buffers and modules.
_INTERNAL = frozenset(vars(nn.Module())) - {TRAINING}
_OF_OPTIMIZERS = ("state", "param_groups", "defaults")
_OURS = ("research_train.", "research_data.")  # a Trainer and its batches save themselves

# An object that holds state (module, optimizer, function, ...), and whether its parameters and
# buffers are missing from a checkpoint's model files.
Owner = tuple[object, bool]


def find_owners(holders: Mapping[str, object]) -> Iterator[tuple[str, Owner]]:
    """Yield (`holder:path`, owner) for each object that holds state, once.

    Searched are modules, optimizers, closures, arguments of partials, objects that methods are
    bound to, dataclasses, and lists and dicts that hold such things.
    """
    seen: set[int] = set()
    waiting = list(holders.items())
    while waiting:
        name, holder = waiting.pop(0)
        if id(holder) in seen or holder is None:
            continue
        seen.add(id(holder))
        if isinstance(holder, nn.Module):
            for path, module in holder.named_modules():
                if module is holder or id(module) not in seen:
                    seen.add(id(module))
                    owner = (module, name not in (MODEL, AVERAGED))
                    yield f"{name}:{path}", owner
                    for attribute, value in read_state(owner).items():
                        if type(value) in (list, tuple, dict):  # of modules, a teacher say
                            place = f"{name}.{path}.{attribute}"
                            waiting += _inside(place, value, nn.Module)
            continue
        if isinstance(holder, functools.partial):
            parts = (holder.func, *holder.args, *holder.keywords.values())
            yield name, (holder, False)
            waiting += [(f"{name}.{place}", part) for place, part in enumerate(parts)]
            continue
        if isinstance(holder, MethodType):
            waiting += [(name, holder.__self__), (f"{name}.function", holder.__func__)]
            continue
        if isinstance(holder, type | BuiltinMethodType) or not hasattr(holder, "__dict__"):
            continue
        kind = f"{type(holder).__module__}."
        if kind.startswith(_OURS) or any(
            base.__module__.startswith(_OURS) for base in type(holder).__mro__
        ):
            continue
        yield name, (holder, False)
        for attribute, value in read_state((holder, False)).items():
            waiting += _inside(f"{name}.{attribute}", value, object)


def _inside(name: str, value: object, kind: type) -> list[tuple[str, object]]:
    """The value, or those in it if it is a list or dict, that are of `kind` and may hold state."""
    if type(value) in (list, tuple, dict):
        each = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
        return [
            (f"{name}.{place}", part)
            for place, part in each
            if _holds_state(part) and isinstance(part, kind)
        ]
    return [(name, value)] if _holds_state(value) and isinstance(value, kind) else []


def _holds_state(value: object) -> bool:
    if isinstance(value, type):
        return False
    return isinstance(
        value, nn.Module | FunctionType | MethodType | functools.partial | SimpleNamespace
    ) or is_dataclass(value)


def read_state(owner: Owner) -> dict[str, Any]:
    """Attribute -> value, for everything in an owner that may change."""
    holder, outside = owner
    if isinstance(holder, FunctionType):
        return {
            **{name: _content(cell) for name, cell in _cells(holder).items()},
            **{f".{name}": value for name, value in vars(holder).items()},
            **_defaults(holder),
        }
    if isinstance(holder, functools.partial):
        return dict(_arguments(holder))
    if isinstance(holder, Optimizer):
        own = not type(holder).__module__.startswith("torch.")  # torch's have all in state_dict
        return {
            name: value
            for name, value in vars(holder).items()
            if own and name not in _OF_OPTIMIZERS and not name.startswith("_optimizer_")
        }
    if not isinstance(holder, nn.Module):
        return dict(vars(holder))
    values = {name: value for name, value in vars(holder).items() if name not in _INTERNAL}
    for name, buffer in holder._buffers.items():
        if outside or name in holder._non_persistent_buffers_set:
            values[name] = buffer
    for name, parameter in holder._parameters.items():
        if parameter is not None:
            values[f"{name}{REQUIRES_GRAD}"] = parameter.requires_grad
            if outside:
                values[name] = parameter.detach()
    if has_extra_state(holder):
        values[EXTRA] = holder.get_extra_state()
    return values


def write_state(
    owner: Owner, attribute: str, value: Any, fixed: frozenset[int] = frozenset()
) -> None:
    """Set an attribute, in place if possible, so that every reference to its value sees it.

    fixed: memory addresses of tensors that are already restored and must not change. Raises
    KeyError, TypeError, ValueError or RuntimeError if the owner has no such attribute.
    """
    holder, _ = owner
    if isinstance(holder, functools.partial) or attribute.endswith("="):
        # Arguments and defaults can only have changed in place.
        if not put_into(read_state(owner)[attribute], value, fixed):
            raise ValueError(f"{attribute} is of another type")
    elif isinstance(holder, FunctionType) and attribute.startswith("."):
        if not put_into(vars(holder).get(attribute[1:]), value, fixed):
            setattr(holder, attribute[1:], value)
    elif isinstance(holder, FunctionType):
        cell = _cells(holder)[attribute]
        own = _content(cell)
        if not put_into(own, value, fixed):
            cell.cell_contents = moved_to(value, own.device) if isinstance(own, Tensor) else value
    elif not isinstance(holder, nn.Module):
        if not put_into(vars(holder).get(_data_name(holder, attribute)), value, fixed):
            setattr(holder, attribute, value)
    elif attribute == EXTRA:
        holder.set_extra_state(value)
    elif attribute.endswith(REQUIRES_GRAD):
        parameter = holder._parameters[attribute.removesuffix(REQUIRES_GRAD)]
        if parameter is not None:
            parameter.requires_grad_(bool(value))
    elif (own := holder._parameters.get(attribute, holder._buffers.get(attribute))) is not None:
        if not put_into(own, value):
            if attribute not in holder._buffers or not isinstance(value, Tensor):
                raise ValueError(f"{attribute}: of another shape or type")
            holder._buffers[attribute] = value.to(own.device)  # a cache that grew
    elif not put_into(vars(holder).get(_data_name(holder, attribute)), value, fixed):
        near = next(chain(holder.parameters(), holder.buffers()), torch.empty(0))
        setattr(holder, attribute, moved_to(value, near.device))


def has_extra_state(module: nn.Module) -> bool:
    """Whether a module defines `get_extra_state`."""
    return type(module).get_extra_state is not nn.Module.get_extra_state


def _data_name(holder: object, attribute: str) -> str:
    """The attribute. Raises ValueError if it is torch's or a method, which no data may replace."""
    if attribute in _INTERNAL or callable(getattr(type(holder), attribute, None)):
        raise ValueError(f"{attribute} is not an attribute for data")
    return attribute


def _cells(function: FunctionType) -> dict[str, Any]:
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _defaults(function: FunctionType) -> dict[str, Any]:
    """`name=` -> default value of a function's argument: a list there may keep state."""
    if not function.__defaults__ and not function.__kwdefaults__:
        return {}
    code = function.__code__
    last = code.co_varnames[: code.co_argcount][-len(function.__defaults__ or ()) :]
    named = dict(zip(last, function.__defaults__ or (), strict=False))
    named |= function.__kwdefaults__ or {}
    return {f"{name}=": value for name, value in named.items()}


def _arguments(part: "functools.partial[Any]") -> Iterator[tuple[str, Any]]:
    yield from ((str(place), value) for place, value in enumerate(part.args))
    yield from part.keywords.items()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None
