"""Checkpoints written behind the loop's back, from a snapshot in buffers allocated once."""

import threading
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from research_train.state.checkpoint import write_snapshot
from research_train.state.snapshot import Snapshot


class CheckpointWriter:
    """Writes one checkpoint at a time; the loop waits only while tensors are copied."""

    def __init__(self) -> None:
        self._buffers: dict[str, dict[str, Tensor]] = {}
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def write(
        self, folder: Path, snapshot: Snapshot, then: Callable[[], None] = lambda: None
    ) -> None:
        """Begin to write a checkpoint. Raises what went wrong with the one before.

        then: called, in the writing thread, when it is published.
        """
        self.wait()
        copied = Snapshot(
            {name: self._copy(name, tensors) for name, tensors in snapshot.tensors.items()},
            snapshot.content,
        )
        # Not a daemon: a process that ends in peace ends with its checkpoint whole.
        self._thread = threading.Thread(target=self._write, args=(folder, copied, then))
        self._thread.start()

    def wait(self) -> None:
        """Wait until nothing is being written. Raises StorageError: it could not be."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Wait for what is being written; an error there is not the news any more."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, folder: Path, snapshot: Snapshot, then: Callable[[], None]) -> None:
        try:
            write_snapshot(folder, snapshot)
            then()
        except Exception as error:  # raised where the loop waits
            self._error = error

    def _copy(self, file: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Tensors copied into this file's buffers, in memory of the CPU."""
        buffers = self._buffers.setdefault(file, {})
        for name, tensor in tensors.items():
            buffer = buffers.get(name)
            if buffer is None or buffer.shape != tensor.shape or buffer.dtype != tensor.dtype:
                pinned = tensor.device.type == "cuda"
                buffers[name] = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
            buffers[name].copy_(tensor, non_blocking=True)
        if any(tensor.device.type == "cuda" for tensor in tensors.values()):
            torch.cuda.synchronize()
        return {name: buffers[name] for name in tensors}
