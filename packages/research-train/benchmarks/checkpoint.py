"""How long a loop stands still for a checkpoint of 440 MB, against `torch.save` of the same state.

    uv run python packages/research-train/benchmarks/checkpoint.py [--repeats 5]

The writer is given time to finish before the next, as between two checkpoints of a training. The
first snapshot, which allocates the buffers, is shown apart.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import torch
from research_train import TrainState, load_checkpoint
from research_train.state.snapshot import view_snapshot
from research_train.state.writer import CheckpointWriter
from torch import nn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = nn.Sequential(*(nn.Linear(1000, 1100, bias=False) for _ in range(100)))
    state = TrainState(step=1)
    writer = CheckpointWriter()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch)
        ratios = []
        for repeat in range(options.repeats + 1):
            os.sync()
            began = time.perf_counter()
            torch.save(model.state_dict(), folder / "state.pt")
            saved = time.perf_counter() - began
            os.sync()
            began = time.perf_counter()
            writer.write(folder / f"step-{repeat}", view_snapshot(model, None, state))
            stood = time.perf_counter() - began
            writer.wait()
            whole = time.perf_counter() - began
            load_checkpoint(folder / f"step-{repeat}", model)
            shutil.rmtree(folder / f"step-{repeat}")
            label = f"repeat {repeat}" if repeat else "first   "
            print(
                f"{label}: the loop stood still {stood:.3f} s, torch.save {saved:.3f} s, ratio "
                f"{stood / saved:.3f}; on disk after {whole:.2f} s"
            )
            if repeat:
                ratios.append(stood / saved)
    print(
        f"{size / 1e6:.0f} MB: median ratio {statistics.median(ratios):.3f} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
