"""Batches of tensors or Arrow columns in memory, with a position that is saved exactly."""

import hashlib
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, Self, TypeVar, Unpack, cast, overload

import numpy as np
import torch
from torch import Tensor

from research_data.batches.source import BatchesState as BatchesState
from research_data.batches.source import BatchSource, Keywords, Order, show_keywords

if TYPE_CHECKING:
    import pyarrow
    from datasets import Dataset

    from research_data.batches.arrow import ArrowColumn

Fields = TypeVar("Fields", bound=tuple[Tensor, ...] | dict[str, Tensor])

SAMPLED_ROWS = 16


class Batches(BatchSource[Fields], Generic[Fields]):
    """Iterate over a tuple or dict of tensors in batches; one iteration is one epoch.

    data: a tuple, named tuple or dict of tensors, each (examples, ...); batches have the same type.
    batch_size: examples in a batch; the last batch of an epoch may be smaller, unless drop_last.
    shuffle: a new order every epoch, which depends only on seed and the epoch's number.
    rank, world_size: this process, and the number of processes that share every batch. batch_size,
    order and state don't depend on them (see `shard`, and `weight` for uneven parts).

    An iteration begun after `load_state_dict` yields the rest of that epoch.
    """

    @show_keywords
    def __init__(
        self,
        data: Fields,
        batch_size: int,
        **keywords: Unpack[Keywords],
    ):
        _refuse_what_holds_no_tensors(data)
        examples = {len(field) for field in _fields(data)}
        if len(examples) != 1:
            raise ValueError(f"the fields of data differ in length: {sorted(examples)}")
        super().__init__(
            examples.pop(),
            batch_size,
            **keywords,
        )
        self.data = data
        self._fingerprint = _fingerprint(data)
        self._streamed_to: torch.device | None = None

    @overload
    @classmethod
    def from_arrow(
        cls,
        dataset: "Dataset | pyarrow.Table",
        columns: type[Fields],
        batch_size: int,
        **keywords: Unpack[Keywords],
    ) -> "Batches[Fields]": ...
    @overload
    @classmethod
    def from_arrow(
        cls,
        dataset: "Dataset | pyarrow.Table",
        columns: Sequence[str],
        batch_size: int,
        **keywords: Unpack[Keywords],
    ) -> "Batches[tuple[Tensor, ...]]": ...
    @classmethod
    @show_keywords
    def from_arrow(
        cls,
        dataset: "Dataset | pyarrow.Table",
        columns: type[Fields] | Sequence[str],
        batch_size: int,
        **keywords: Unpack[Keywords],
    ) -> "Batches[Fields] | Batches[tuple[Tensor, ...]]":
        """Batches of the columns of a `datasets.Dataset`, read from the memory-mapped file.

        columns: their names, or a NamedTuple class with a field for each; batches are named tuples.

        A column holds numbers, or lists of equal length, which may be nested; its tensors have the
        column's type. `select` and `shuffle` of the dataset are respected; its formats and
        transforms are not applied. Raises ValueError, naming the column, for any other content.
        """
        from research_data.batches.arrow import open_columns  # pyarrow takes long to import

        names: Sequence[str]
        if isinstance(columns, type):
            names, kind = getattr(columns, "_fields", ()), columns
        else:
            names = [columns] if isinstance(columns, str) else columns
            kind = cast(type[Fields], namedtuple("Batch", names, rename=True))
        if not names:
            raise ValueError("name the columns to read, or a NamedTuple with a field for each")
        opened = cast(list[Tensor], open_columns(dataset, names))  # used like tensors
        return Batches(
            cast(Fields, kind(*opened)),
            batch_size,
            **keywords,
        )

    def __iter__(self) -> Iterator[Fields]:
        """Yield the batches that the current epoch still holds, then move on to the next."""
        order: Order | Tensor | None = self._order()
        fields = _fields(self.data)
        if order is not None and isinstance(fields[0], Tensor):
            order = torch.from_numpy(order).to(fields[0].device)
        count = len(self)
        while self.position < count:
            part = self._hand_out()
            if order is None and self._streamed_to is None:  # a fast path, for small models
                yield self._rebuild([field[part] for field in fields])
                continue
            rows = part if order is None else order[part]
            yield self._rebuild([self._placed(_rows(field, rows)) for field in fields])
        self._end_epoch()

    def to(self, device: torch.device) -> Self:
        """Hold the data on device from now on; returns self.

        On a CPU, Arrow columns stay memory-mapped. On a GPU, they are copied as a whole if they fit
        in half of its free memory; otherwise each batch is copied when it is handed out.
        """
        self._streamed_to = None
        mapped = [field for field in _fields(self.data) if not isinstance(field, Tensor)]
        if mapped and device.type == "cpu":
            return self
        if mapped and not _fits(sum(field.nbytes for field in mapped), device):
            self._streamed_to = device
            return self
        self.data = self._rebuild([field.to(device) for field in _fields(self.data)])
        return self

    def state_dict(self) -> BatchesState:
        """The position, after the batches handed out so far; the same on every rank."""
        return {**super().state_dict(), "data": self._fingerprint}

    def _placed(self, rows: Tensor) -> Tensor:
        if self._streamed_to is None:
            return rows
        if self._streamed_to.type == "cuda":
            rows = rows.pin_memory()
        return rows.to(self._streamed_to, non_blocking=True)

    def _rebuild(self, fields: list[Tensor]) -> Fields:
        kind = type(self.data)
        if isinstance(self.data, dict):
            return cast(Fields, dict(zip(self.data, fields, strict=True)))
        make = cast(Callable[[Iterable[Tensor]], Fields], getattr(kind, "_make", kind))
        return make(fields)


def _fields(data: "tuple[Tensor, ...] | dict[str, Tensor]") -> tuple[Tensor, ...]:
    return tuple(data.values()) if isinstance(data, dict) else data


def _refuse_what_holds_no_tensors(data: object) -> None:
    """Raise ValueError unless data is a tuple or dict of tensors or Arrow columns."""
    if not isinstance(data, tuple | list | dict):
        raise ValueError(f"data must be a tuple or dict of tensors, is {type(data).__name__}")
    named = data.items() if isinstance(data, dict) else enumerate(data)
    for name, field in named:
        held = isinstance(field, Tensor) or type(field).__name__ == "ArrowColumn"
        if not held or not len(field.shape):
            raise ValueError(
                f"data: field {name!r} must be a tensor of examples, is {type(field).__name__}"
            )


def _rows(field: "Tensor | ArrowColumn", rows: "slice | Order | Tensor") -> Tensor:
    if isinstance(rows, Tensor):
        return cast(Tensor, field).index_select(0, rows)  # indexing takes twice as long
    return field[rows]


def _fits(size: int, device: torch.device) -> bool:
    return device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] // 2


def _fingerprint(data: "tuple[Tensor | ArrowColumn, ...] | dict[str, Tensor]") -> str:
    """A hash of the fields' types and shapes, and of a few evenly spaced rows."""
    digest = hashlib.sha256()
    for field in _fields(cast("tuple[Tensor, ...]", data)):
        digest.update(f"{field.dtype} {tuple(field.shape)}".encode())
        # Floats are often computed, and their last bits differ from machine to machine.
        if isinstance(field, Tensor) and (field.is_floating_point() or field.is_complex()):
            continue
        rows = np.linspace(0, len(field) - 1, SAMPLED_ROWS).astype(np.int64)
        digest.update(field[rows].flatten().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
