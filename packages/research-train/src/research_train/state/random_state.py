"""Seed all random number generators, and save and restore their states as JSON."""

import base64
import os
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch on every device.

    deterministic: let torch use only kernels that give the same bits every time; it raises
    RuntimeError where it has none. CPU kernels do so anyway, for a fixed number of threads.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Checked first, because the call imports torch's compiler: a second or more.
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)


@dataclass
class RandomState:
    """Every random number generator: Python's, NumPy's global one, torch's on CPU and each GPU."""

    python: list[Any]
    numpy: list[Any]
    torch: str
    cuda: list[str]

    @classmethod
    def capture(cls) -> "RandomState":
        """The current states of all generators."""
        name, keys, position, has_gauss, gauss = np.random.get_state()
        version, internal, gauss_next = random.getstate()
        return cls(
            python=[version, list(internal), gauss_next],
            numpy=[name, np.asarray(keys).tolist(), position, has_gauss, gauss],
            torch=_encode(torch.get_rng_state()),
            cuda=[_encode(state) for state in torch.cuda.get_rng_state_all()]
            if torch.cuda.is_available()
            else [],
        )

    def check(self) -> None:
        """Raise ValueError, TypeError or RuntimeError if these aren't valid generator states."""
        version, internal, gauss_next = self.python
        random.Random().setstate((version, tuple(internal), gauss_next))
        name, keys, position, has_gauss, gauss = self.numpy
        generator = np.random.RandomState()
        generator.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
        torch.Generator().set_state(_decode(self.torch))
        for state in self.cuda:
            _decode(state)

    def restore(self) -> None:
        """Restore every generator; those of GPUs only if there are as many GPUs here."""
        version, internal, gauss_next = self.python
        random.setstate((version, tuple(internal), gauss_next))
        name, keys, position, has_gauss, gauss = self.numpy
        np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
        torch.set_rng_state(_decode(self.torch))
        if self.cuda and torch.cuda.device_count() == len(self.cuda):
            torch.cuda.set_rng_state_all([_decode(state) for state in self.cuda])


def _encode(state: Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _decode(text: str) -> Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
