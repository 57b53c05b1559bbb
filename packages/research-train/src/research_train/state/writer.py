"""Write checkpoints in the background, from a snapshot in buffers allocated once."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from research_train.state.checkpoint import write_snapshot
from research_train.state.snapshot import Snapshot

# Bytes of tensors from which buffers are allocated in a thread: half a second a gigabyte.
LARGE = 2**24
# Bytes from which torch copies on several threads, which wait for each other at every tensor. While
# other work used the cores, 100 tensors of 4 MB took 0.9 to 2.4 s that way, 0.17 s on one thread.
PARALLEL = 2**17


class CheckpointWriter:
    """Writes one checkpoint at a time; the loop waits only while tensors are copied."""

    def __init__(self) -> None:
        self._buffers: dict[str, dict[str, Tensor]] = {}
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def reserve(self, snapshot: Snapshot) -> None:
        """Allocate the buffers of a snapshot in the background, so that the first copy is quick.

        More than half of that copy's time would be the system's, to find and zero the memory.
        """
        if sum(t.nbytes for tensors in snapshot.tensors.values() for t in tensors.values()) < LARGE:
            return
        self.wait()
        self._thread = threading.Thread(target=self._reserve, args=(snapshot,))
        self._thread.start()

    def write(
        self, folder: Path, snapshot: Snapshot, then: Callable[[], None] = lambda: None
    ) -> None:
        """Begin to write a checkpoint. Raises the error of the previous one, if it failed.

        then: called in the writing thread, once the checkpoint is in its folder.
        """
        self.wait()
        copied = Snapshot(
            {name: self._copy(name, tensors) for name, tensors in snapshot.tensors.items()},
            snapshot.content,
            snapshot.model_config,
        )
        # Not a daemon: a process that ends normally waits until its checkpoint is complete.
        self._thread = threading.Thread(target=self._write, args=(folder, copied, then))
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being written. Raises StorageError if writing failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Wait until nothing is being written; ignore an error in it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, folder: Path, snapshot: Snapshot, then: Callable[[], None]) -> None:
        try:
            write_snapshot(folder, snapshot)
            then()
        except Exception as error:  # `wait` raises it
            self._error = error

    def _reserve(self, snapshot: Snapshot) -> None:
        with suppress(RuntimeError):  # out of memory: if it still is, the copy will raise
            for file, tensors in snapshot.tensors.items():
                for name, tensor in tensors.items():
                    _bytes(self._buffer(file, name, tensor)).fill(0)  # without the GIL

    def _buffer(self, file: str, name: str, tensor: Tensor) -> Tensor:
        """The buffer of a tensor: allocated once, in memory of the CPU."""
        buffers = self._buffers.setdefault(file, {})
        buffer = buffers.get(name)
        if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
            pinned = tensor.device.type == "cuda"
            buffer = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
            buffers[name] = buffer
        return buffer

    def _copy(self, file: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        copies = {name: self._buffer(file, name, tensor) for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            if tensor.device.type == "cpu" and tensor.is_contiguous() and tensor.nbytes > PARALLEL:
                np.copyto(_bytes(copies[name]), _bytes(tensor))
            else:
                copies[name].copy_(tensor, non_blocking=True)
        if any(tensor.device.type == "cuda" for tensor in tensors.values()):
            torch.cuda.synchronize()
        return copies


def _bytes(tensor: Tensor) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return tensor.reshape(-1).view(torch.uint8).numpy()
