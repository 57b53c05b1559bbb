"""Save and load tensors that are divided among processes, as `parallel=fsdp` has them.

A checkpoint then holds model.safetensors as always, and in place of optimizer.safetensors a folder

    optimizer/shard-00001-model-00001-of-00001.safetensors    what the first process has, and so on

in the safetensors form of torch's distributed checkpoints, which any number of processes reads.
Tried with torch 2.10, that form fits an optimizer as it is kept here: tensors by name, divided,
whole or empty in a process, come back as they were. It has no place for other values, which are in
state.json; and the same tensors don't make the same bytes, as safetensors writes the words of a
header in any order.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import (
    DefaultSavePlanner,
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.tensor import DTensor, distribute_tensor

from research_train.state.snapshot import SHARDS


def write_shards(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write what this process has of the optimizer's tensors; all processes call it together.

    Raises CheckpointException, on all of them.
    """
    with _quiet():
        dcp.save(
            dict(tensors),
            # Else who writes what all have would depend on the order, which a resume changes.
            planner=DefaultSavePlanner(dedup_save_to_lowest_rank=True),
            storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
        )


def read_shards(
    folder: Path, settings: dict[str, Any] | None, model: nn.Module
) -> dict[str, Tensor]:
    """The optimizer's tensors in a checkpoint of shards, each divided as its parameter is here.

    settings: the optimizer's part of state.json. Without sharded parameters all tensors are whole.
    Raises what reading a damaged file raises.
    """
    reader = HuggingFaceStorageReader(str(folder / SHARDS))
    parameters = _parameters(settings, model)
    tensors: dict[str, Tensor] = {}
    for name, stored in reader.read_metadata().state_dict_metadata.items():
        assert isinstance(stored, TensorStorageMetadata)  # all that safetensors has
        whole = torch.empty(stored.size, dtype=stored.properties.dtype, device="meta")
        own = parameters.get(_place(name))
        if isinstance(own, DTensor) and own.shape == whole.shape:
            tensors[name] = torch.zeros_like(own, dtype=whole.dtype, requires_grad=False)
        else:
            tensors[name] = torch.zeros_like(whole, device="cpu")
    with _quiet():
        dcp.load(dict(tensors), storage_reader=reader, no_dist=True)
    return tensors


def divided(
    tensors: Mapping[str, Tensor], settings: dict[str, Any] | None, model: nn.Module
) -> dict[str, Tensor]:
    """The optimizer's whole tensors, each divided as its parameter is here."""
    parameters = _parameters(settings, model)
    return {name: like(tensor, parameters.get(_place(name))) for name, tensor in tensors.items()}


def like(tensor: Tensor, own: Tensor | None) -> Tensor:
    """A whole tensor, divided as own is where both have one shape; every process has all of it."""
    if not isinstance(own, DTensor) or own.shape != tensor.shape:
        return tensor
    there = tensor.to(own.device)
    return distribute_tensor(there, own.device_mesh, own.placements, src_data_rank=None)


def _parameters(settings: dict[str, Any] | None, model: nn.Module) -> dict[str, Tensor]:
    """`<index>`, or `<optimizer's name>/<index>` -> the model's parameter with this state."""
    if not isinstance(settings, dict):
        return {}
    several = settings.get("several", {"": settings})
    own = dict(model.named_parameters())
    return {
        f"{which}/{index}" if which else str(index): own[name]
        for which, each in several.items()
        for group, names in zip(each["param_groups"], each["names"], strict=True)
        for index, name in zip(group["params"], names, strict=True)
        if name in own
    }


def _place(name: str) -> str:
    """The part of a tensor's name that says whose state it is."""
    found = re.match(r"(?:[^/]*/)?\d+(?=\.)", name)
    return found[0] if found else ""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's warnings about its own deprecated calls, and about loading alone."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TypedStorage is deprecated")
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        yield
