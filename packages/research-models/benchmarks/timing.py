"""Times of several programs against one another, and the memory kept for backward."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def interleaved(
    repeats: int, programs: Mapping[str, Callable[[], object]], passes: int = 1
) -> dict[str, list[float]]:
    """Seconds of each program in every round, the mean over some passes.

    A round runs each once, every second round in the reverse order; one before all is to warm up.
    """
    times: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(repeats + 1):
        for name in list(programs)[:: -1 if number % 2 else 1]:
            synchronise()
            began = time.perf_counter()
            for _ in range(passes if number else 1):
                programs[name]()
            synchronise()
            if number:
                times[name].append((time.perf_counter() - began) / passes)
    return times


def synchronise() -> None:
    """Wait for a GPU, where one is in use."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def spread(over: list[float], under: list[float], digits: int = 2) -> str:
    """The median ratio of two programs' times in the same round, with the lowest and highest."""
    ratios = [one / other for one, other in zip(over, under, strict=True)]
    low, middle, high = (
        f"{value:.{digits}f}" for value in (min(ratios), statistics.median(ratios), max(ratios))
    )
    return f"{middle} ({low} to {high})"


def kept_bytes(model: nn.Module, x: Tensor) -> int:
    """What a forward pass keeps for backward, once a storage, without parameters and input."""
    known = {each.untyped_storage().data_ptr() for each in (x, *model.parameters())}
    kept = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = model(x)
    del y
    return sum(kept.values())
