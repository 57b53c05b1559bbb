"""Find state that changes in training outside parameters, saved buffers and the optimizer.

Modules keep attributes, buffers that `state_dict` leaves out, modes and extra state; a paper's own
loss or step may keep a centre, a teacher or a counter in its closure. Such data is stored in the
checkpoint if it has changed ("moved"), and a resume restores it. State that is found but can't be
stored is refused before the first step.
"""

import io
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from research_train.errors import CheckpointError, RunError
from research_train.state.optimizer_state import Optimizers, each_optimizer, parameter_names
from research_train.state.owners import (
    AVERAGED,
    EXTRA,
    MODEL,
    REQUIRES_GRAD,
    TRAINING,
    find_owners,
    has_extra_state,
    read_state,
    write_state,
)
from research_train.state.stored_values import NotStorableError, pack, why_not_storable

EVALUATION = "evaluate"  # the holder that changes no weight
HASHED = 2**20  # bytes: a larger tensor is not hashed. Its count of writes by torch is compared,
SAMPLED = 4096  # and so many of its values, because writes through `.data` are not counted.


class MovingState:
    """Everything that holds state in a training, and its values at the start.

    averaged: the averaged model. others: the paper's own functions and whatever else may keep
    state, by name. Raises RunError for state that is found to change and can't be stored: one of
    torch's schedulers, parameters that aren't the model's, an iterator.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizers, averaged: nn.Module | None, **others: object
    ):
        self._model = model
        self._optimizers = each_optimizer(optimizer)
        self._holders: dict[str, object] = {MODEL: model, AVERAGED: averaged}
        self._holders |= {f"optimizer {name}".strip(): o for name, o in self._optimizers.items()}
        self._holders |= others
        self._refuse_strange_tensors()
        self.refuse_unstorable()
        self._start = {name: _mark(value) for name, value in self._values()}
        self._owners = {place for place, _ in find_owners(self._holders)}
        self._shapes = _shapes(model)

    def moved(self) -> dict[str, Any]:
        """`holder:path:attribute` -> value, for everything that has changed since the start.

        Raises RunError for changed state that can't be stored, and if the model has become one that
        a resume could not build.
        """
        if (now := _shapes(self._model)) != self._shapes:
            names = sorted({name for name, _ in now.items() ^ self._shapes.items()})
            raise RunError(
                "the model's tensors aren't those that it had at the start: "
                f"{', '.join(names[:5])} were added, removed or changed in shape. A resume could "
                "not build such a model: complete it before `fit`."
            )
        self.refuse_unstorable()
        moved = {}
        for name, value in self._values():
            mark = _mark(value)
            if mark is None or (mark == self._start.get(name) and not name.endswith(f":{EXTRA}")):
                continue
            place = name.rpartition(":")[0]
            if place not in self._owners:
                if name.startswith(EVALUATION):  # an evaluation makes its own objects again
                    continue
                raise RunError(
                    f"{place.strip(':')} was created in this training, so a resume could not "
                    f"restore its state ({name.rpartition(':')[2]}). Create it before `fit`."
                )
            if isinstance(value, Tensor) and (reason := why_not_storable(value)):
                raise RunError(f"{name} changed in this training, and it {reason}")
            moved[name] = value
        return moved

    def put_back(self, moved: Mapping[str, Any]) -> None:
        """Set everything to its value in a checkpoint. Raises CheckpointError."""
        _put_back(self._holders, moved)

    def refuse_unstorable(self) -> None:
        """Raise RunError for state that is there now and that no checkpoint can hold."""
        names = parameter_names(self._model)
        for which, optimizer in self._optimizers.items():
            called = f"the optimizer {which!r}" if which else "the optimizer"
            for number, group in enumerate(optimizer.param_groups):
                for place, parameter in enumerate(group["params"]):
                    if id(parameter) not in names:
                        raise RunError(
                            f"{called}, group {number}: parameter {place}, of shape "
                            f"{tuple(parameter.shape)}, is none of the model's, so no checkpoint "
                            "would hold it. Put it into the module that the Trainer is given "
                            "(nn.ModuleDict holds several) before the optimizer is made."
                        )
            scheduled = any("initial_lr" in group for group in optimizer.param_groups)
            if scheduled or hasattr(optimizer.step, "_wrapped_by_lr_sched"):
                raise RunError(_on_schedulers(called))
        for name, value in self._values():
            if not name.startswith(EVALUATION):  # it changes no weight, so may keep anything
                _refuse(name, value, self._optimizers.values())

    def _refuse_strange_tensors(self) -> None:
        registered = {id(t) for t in (*self._model.parameters(), *self._model.buffers())}
        for name, value in self._model.state_dict(keep_vars=True).items():
            if id(value) not in registered and not name.endswith(EXTRA):
                raise RunError(
                    f"the model's state_dict() has {name!r}, which is neither a parameter nor a "
                    "buffer, so that loading it would change nothing. Register it as a buffer."
                )

    def _values(self) -> Iterator[tuple[str, Any]]:
        for place, owner in find_owners(self._holders):
            for attribute, value in read_state(owner).items():
                yield f"{place}:{attribute}", value


def extra_state(model: nn.Module) -> dict[str, Any]:
    """The modules' extra state (`get_extra_state`), named as in `MovingState.moved`."""
    return {
        f"{MODEL}:{path}:{EXTRA}": module.get_extra_state()
        for path, module in model.named_modules()
        if has_extra_state(module)
    }


def put_back_model(model: nn.Module, moved: Mapping[str, Any]) -> None:
    """Restore a model's state, but not its mode or which parameters require gradients."""
    flags = (f":{TRAINING}", REQUIRES_GRAD)
    inside = (f"{MODEL}:", f"{MODEL}.")  # its modules, and those in lists of them
    own = {k: v for k, v in moved.items() if k.startswith(inside) and not k.endswith(flags)}
    _put_back({MODEL: model}, own)


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on a device. Raises RunError for one that has no values yet."""
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise RunError(f"{name} of the model {why_not_storable(tensor)}")
    return model.to(device)


def start_training_mode(model: nn.Module) -> list[str]:
    """Put a model that is in evaluation mode as a whole (a loaded one) into training mode.

    Otherwise every part keeps its mode. Returns the outermost parts in evaluation mode that have
    parameters to be trained, which may be intended or a mistake.
    """
    if not any(module.training for module in model.modules()):
        model.train()
    still: list[str] = []
    for name, module in model.named_modules():
        inside = any(not outer or name.startswith(f"{outer}.") for outer in still)
        if module.training or inside:
            continue
        if any(parameter.requires_grad for parameter in module.parameters()):
            still.append(name)
    return still


def _put_back(holders: Mapping[str, object], moved: Mapping[str, Any]) -> None:
    owners = dict(find_owners(holders))
    filled = [
        each for name in (MODEL, AVERAGED) if isinstance(each := holders.get(name), nn.Module)
    ]
    fixed = frozenset(
        _part_here(tensor).untyped_storage().data_ptr()
        for module in filled
        for tensor in module.state_dict().values()
        if isinstance(tensor, Tensor) and why_not_storable(tensor) is None
    )
    for name, value in moved.items():
        place, _, attribute = name.rpartition(":")
        try:
            write_state(owners[place], attribute, value, fixed)
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            if name.startswith(EVALUATION):  # the evaluation may have been replaced
                continue
            raise CheckpointError(f"{name} of the checkpoint can't be restored here") from error


def _part_here(tensor: Tensor) -> Tensor:
    """What this process has of a tensor that may be divided among several."""
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part()


def _refuse(name: str, value: object, optimizers: object) -> None:
    if isinstance(value, LRScheduler | ReduceLROnPlateau):
        raise RunError(_on_schedulers(name))
    if isinstance(value, Optimizer) and not any(value is o for o in optimizers):  # type: ignore[attr-defined]
        raise RunError(
            f"{name} is an optimizer that the Trainer wasn't given, so no checkpoint would hold "
            "its state. Give it all optimizers: optimizer={'one': ..., 'other': ...}."
        )
    if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
        raise RunError(
            f"{name} is an iterator ({type(value).__name__}), whose position no checkpoint can "
            "hold. Use the batches that `fit` is given, or index by the number of the step."
        )
    if name.endswith(f":{EXTRA}") and _mark(value) is None:
        raise RunError(
            f"{name}: get_extra_state() gives a {type(value).__name__} that no checkpoint can "
            "hold. Numbers, text, tensors, and lists and dicts of these can be stored."
        )


def _on_schedulers(where: str) -> str:
    return (
        f"{where}: no checkpoint would hold the position of torch's learning rate scheduler. Give "
        "the Trainer schedule= instead, a function of the step like LambdaLR's, or one of "
        "loop/schedules.py."
    )


def _mark(value: object) -> object:
    """Something that differs once the value has changed; None for what isn't data."""
    if value is None or type(value) in (bool, int, float, str):
        return repr(value)
    if isinstance(value, Tensor) and why_not_storable(value):
        return _Write(value)
    tensors: dict[str, Tensor] = {}
    try:
        packed = pack(value, "", tensors)
    except (NotStorableError, RecursionError):
        return None
    text = repr(packed)
    counted = "{'array': " not in text  # writes to a NumPy array are not counted
    return text, [_digest(tensor, counted) for tensor in tensors.values()]


def _digest(tensor: Tensor, counted: bool) -> object:
    if counted and tensor.nbytes > HASHED and not tensor.is_inference():
        return _Write(tensor)
    content = tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return tuple(tensor.shape), str(tensor.dtype), zlib.crc32(content.data)


def _sample(tensor: Tensor) -> object:
    count = min(SAMPLED, tensor.numel())
    places = torch.linspace(0, tensor.numel() - 1, count, dtype=torch.float64).long()
    return _digest(tensor[torch.unravel_index(places.to(tensor.device), tensor.shape)], False)


class _Write:
    """A tensor and how often it was written to; held, so that its memory isn't used again."""

    def __init__(self, tensor: Tensor):
        self.object, self.tensor = tensor, tensor.detach()
        self.writes = tensor._version
        self.sample = None if why_not_storable(tensor) else _sample(self.tensor)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Write) or self.writes != other.writes:
            return False
        if self.sample != other.sample:
            return False
        one, two = self.tensor, other.tensor
        if one.layout is not torch.strided or two.layout is not torch.strided:
            return self.object is other.object
        same = (one.shape, one.dtype, one.stride()) == (two.shape, two.dtype, two.stride())
        return same and one.data_ptr() == two.data_ptr()

    __hash__ = None  # type: ignore[assignment]


def _shapes(model: nn.Module) -> dict[str, tuple[tuple[int, ...], str]]:
    return {
        name: (tuple(value.shape), str(value.dtype))
        for name, value in model.state_dict(keep_vars=True).items()
        if isinstance(value, Tensor) and not isinstance(value, nn.UninitializedParameter)
    }
