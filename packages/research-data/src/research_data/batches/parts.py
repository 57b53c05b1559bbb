"""Count the examples of a batch, and split a batch into parts, whatever holds its tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from torch import Tensor

Batch = TypeVar("Batch")


def count_examples(batch: object) -> int:
    """How many examples a batch has: the length of every tensor in it, at any depth.

    batch: a tensor, or a tuple, list or mapping of batches. A list of anything else (names, for
    example) has one entry for each example; single numbers and 0-dimensional tensors belong to all
    examples. Raises ValueError when lengths differ or nothing has a length.
    """
    lengths: set[int] = set()
    _walk(batch, lambda field: lengths.add(len(field)))
    if len(lengths) != 1:
        found = f"its fields have {sorted(lengths)} examples" if lengths else "it has no tensors"
        raise ValueError(
            f"the examples of a batch of type {type(batch).__name__} can't be counted: {found}"
        )
    return lengths.pop()


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """A batch cut into consecutive parts of its own type; fewer than `parts` if it is too short.

    All parts have the same number of examples, except that the last may have fewer.
    """
    examples = count_examples(batch)
    size = -(-examples // parts)
    return [
        cast(Batch, _walk(batch, lambda field, at=at: field[at : at + size]))  # type: ignore[misc]
        for at in range(0, examples, size)
    ]


def _walk(batch: object, change: Callable[[Any], object]) -> object:
    """The batch with `change` applied to each field that has one entry for each example."""
    if isinstance(batch, Tensor):
        return change(batch) if batch.dim() else batch
    if isinstance(batch, Mapping):
        changed = {name: _walk(value, change) for name, value in batch.items()}
        return changed if type(batch) is dict else _remade(batch, changed)
    if isinstance(batch, Sequence) and not isinstance(batch, str | bytes):
        if batch and not any(_holds_fields(each) for each in batch):
            return change(batch)
        make = cast(Callable[[list[object]], object], getattr(type(batch), "_make", type(batch)))
        return make([_walk(each, change) for each in batch])
    return batch


def _holds_fields(value: object) -> bool:
    return isinstance(value, Tensor | Mapping) or (
        isinstance(value, Sequence) and not isinstance(value, str | bytes)
    )


def _remade(batch: Mapping[Any, object], changed: dict[Any, object]) -> object:
    try:  # a tokenizer's BatchEncoding, an OrderedDict
        return type(batch)(changed)  # type: ignore[call-arg]
    except TypeError:
        return changed
