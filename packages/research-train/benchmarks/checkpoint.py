"""How long a loop stands still for a checkpoint of 440 MB, against `torch.save` of the same state.

    uv run python packages/research-train/benchmarks/checkpoint.py [--repeats 5]

The writer is given time to finish before the next, as between two checkpoints of a training. The
first snapshot is shown apart: its buffers are allocated while a few steps are trained, as in a
training. --repeats 1 takes some ten seconds.
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

STEPS = 10  # between the start of a training and its first checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    model = nn.Sequential(
        *(nn.Linear(*(1000, 1100)[:: (-1) ** number], bias=False) for number in range(100))
    )
    state = TrainState(step=1)
    writer = CheckpointWriter()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    inputs = torch.randn(8, 1000)
    model(inputs).sum().backward()
    writer.reserve(view_snapshot(model, None, state))
    for _ in range(STEPS):
        model(inputs).sum().backward()
    stood, saved = [], []
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch)
        for repeat in range(options.repeats + 1):
            os.sync()
            began = time.perf_counter()
            writer.write(folder / f"step-{repeat}", view_snapshot(model, None, state))
            stood.append(time.perf_counter() - began)
            writer.wait()
            whole = time.perf_counter() - began
            load_checkpoint(folder / f"step-{repeat}", model)
            shutil.rmtree(folder / f"step-{repeat}")
            os.sync()
            began = time.perf_counter()
            torch.save(model.state_dict(), folder / "state.pt")
            saved.append(time.perf_counter() - began)
            label = f"repeat {repeat}" if repeat else "first   "
            print(
                f"{label}: the loop stood still {stood[-1]:.3f} s, torch.save {saved[-1]:.3f} s, "
                f"ratio {stood[-1] / saved[-1]:.3f}; on disk after {whole:.2f} s"
            )
    ratios = [ours / theirs for ours, theirs in zip(stood[1:], saved[1:], strict=True)]
    print(
        f"{size / 1e6:.0f} MB: median ratio {statistics.median(ratios):.3f} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}); the first checkpoint "
        f"{stood[0] / statistics.median(saved):.3f} of the median torch.save"
    )


if __name__ == "__main__":
    main()
