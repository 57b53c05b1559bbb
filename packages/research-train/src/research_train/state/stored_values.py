"""Save nested Python values as JSON and tensors, and load them.

A number, text, boolean or None is stored as it is; anything else as an object with one key, its
kind: {"tensor": <name in the file of tensors>}, {"list": [...]}, {"dict": [[key, value], ...]}.
"""

import random
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

# What safetensors writes and reads back.
STORED_TYPES = frozenset(
    {
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float8_e4m3fn,
        torch.float8_e5m2,
        torch.complex64,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.uint16,
        torch.uint32,
        torch.uint64,
        torch.bool,
    }
)


class NotStorableError(TypeError):
    """A value that a checkpoint can't hold; the message says what it is."""


def why_not_storable(tensor: Tensor) -> str | None:
    """Why a checkpoint can't hold a tensor, and what to do about it; None if it can."""
    if is_lazy(tensor):
        return "has no shape yet: run one batch through the model before the training"
    if tensor.is_meta:
        return "is on the meta device, so without values: load or initialise it first"
    if tensor.is_quantized or tensor.is_nested or tensor.layout is not torch.strided:
        kind = "quantized" if tensor.is_quantized else "nested" if tensor.is_nested else "sparse"
        return f"is {kind}: keep its parts (indices, values) as dense buffers"
    if tensor.dtype not in STORED_TYPES:
        way = ": keep torch.view_as_real of it" if tensor.is_complex() else ""
        return f"is {str(tensor.dtype).removeprefix('torch.')}, which safetensors can't hold{way}"
    if tensor.is_conj() or tensor.is_neg():
        return "is a view of another with its signs changed: .clone() it"
    if torch._debug_has_internal_overlap(tensor) == 1:  # it couldn't be filled when loaded
        return "is expanded, its elements share memory: .clone() it"
    return None


def pack(value: object, name: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON; its tensors are added to tensors, under names that begin with name.

    Raises NotStorableError for what isn't data: parameters (which are stored with the model),
    modules, functions, objects of other classes.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.nn.Parameter):
        raise NotStorableError("a parameter")
    if isinstance(value, Tensor):
        if reason := why_not_storable(value):
            raise NotStorableError(f"a tensor that {reason}")
        tensors[name] = value.detach()
        return {"tensor": name}
    if _on_disk(value):
        raise NotStorableError("an array that is mapped from a file")
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        tensors[name] = torch.from_numpy(np.array(value))  # a copy: it may be changed in place
        return {"array": name}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        tensors[name] = torch.from_numpy(np.array(value))
        return {"number": name}
    if isinstance(value, torch.Generator):
        tensors[name] = value.get_state()
        return {"torch.Generator": [str(value.device), name]}
    for kind, (cls, parts, _) in _KINDS.items():
        if type(value) is cls:
            packed = [
                pack(part, f"{name}/{index}", tensors) for index, part in enumerate(parts(value))
            ]
            return {kind: packed}
    raise NotStorableError(f"a {type(value).__name__}")


def unpack(packed: Any, tensors: dict[str, Tensor]) -> Any:
    """Undo `pack`. Raises KeyError, TypeError or ValueError for what `pack` can't have returned."""
    if packed is None or type(packed) in (bool, int, float, str):
        return packed
    [(kind, content)] = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind in ("array", "number"):
        array = tensors[content].numpy()
        return array if kind == "array" else array[()]
    if kind == "torch.Generator":
        generator = torch.Generator(content[0])
        generator.set_state(tensors[content[1]])
        return generator
    return _KINDS[kind][2]([unpack(part, tensors) for part in content])


def put_into(own: object, value: object, fixed: frozenset[int] = frozenset()) -> bool:
    """Write value into own, for every reference to own to see it; returns whether it was possible.

    fixed: memory addresses of tensors that must not change. A tensor in the same memory has its
    value already, or shared only the first content (torch.nn.utils.spectral_norm's weight).
    """
    if isinstance(own, Tensor) and isinstance(value, Tensor):
        if own.shape != value.shape or own.dtype != value.dtype or why_not_storable(own):
            return False
        if own.untyped_storage().data_ptr() in fixed:
            return torch.equal(own.detach(), value.to(own.device))
        with torch.no_grad():
            own.detach().copy_(value)
        return True
    if isinstance(own, torch.Generator) and isinstance(value, torch.Generator):
        own.set_state(value.get_state())
    elif isinstance(own, random.Random) and isinstance(value, random.Random):
        own.setstate(value.getstate())
    elif isinstance(own, np.random.Generator) and isinstance(value, np.random.Generator):
        own.bit_generator.state = value.bit_generator.state
    elif isinstance(own, np.random.RandomState) and isinstance(value, np.random.RandomState):
        own.set_state(value.get_state())
    elif type(own) is type(value) and isinstance(own, list | dict | deque | set):
        own.clear()
        own.extend(value) if isinstance(own, list | deque) else own.update(value)  # type: ignore[arg-type, call-overload]
    else:
        return False
    return True


def moved_to(value: Any, device: torch.device) -> Any:
    """The value with the tensors in its lists, tuples and dicts on device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return type(value)((name, moved_to(each, device)) for name, each in value.items())
    if type(value) in (list, tuple):
        return type(value)(moved_to(each, device) for each in value)
    return value


def _on_disk(value: object) -> bool:
    """Whether it is an array that is mapped from a file, which may be too large to store."""
    while isinstance(value, np.ndarray):
        if isinstance(value, np.memmap):
            return True
        value = value.base
    return False


def _numpy_generator(parts: list[Any]) -> np.random.Generator:
    bits = getattr(np.random, parts[0]["bit_generator"])()
    if not isinstance(bits, np.random.BitGenerator):
        raise ValueError(f"{parts[0]['bit_generator']!r} is no generator of NumPy's")
    bits.state = parts[0]
    return np.random.Generator(bits)


def _numpy_random_state(parts: list[Any]) -> np.random.RandomState:
    generator = np.random.RandomState()
    generator.set_state(parts[0])
    return generator


def _python_random(parts: list[Any]) -> random.Random:
    generator = random.Random()
    generator.setstate(parts[0])
    return generator


# kind -> its class, a function to the parts of a value, and one from the parts to the value.
_KINDS: dict[str, tuple[type, Callable[[Any], Any], Callable[[list[Any]], Any]]] = {
    "list": (list, list, list),
    "tuple": (tuple, list, tuple),
    "size": (torch.Size, lambda size: [tuple(size)], lambda parts: torch.Size(parts[0])),
    "dict": (dict, lambda d: [tuple(each) for each in d.items()], dict),
    "ordered": (OrderedDict, lambda d: [tuple(each) for each in d.items()], OrderedDict),
    "set": (set, lambda s: sorted(s, key=repr), set),
    "deque": (
        deque,
        lambda d: [d.maxlen, list(d)],
        lambda parts: deque(parts[1], maxlen=parts[0]),
    ),
    "numpy.Generator": (np.random.Generator, lambda g: [g.bit_generator.state], _numpy_generator),
    "numpy.RandomState": (
        np.random.RandomState,
        lambda g: [g.get_state(legacy=False)],
        _numpy_random_state,
    ),
    "random.Random": (random.Random, lambda g: [g.getstate()], _python_random),
}
