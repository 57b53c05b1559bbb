"""What `train` takes to its first step, and in memory, against a bare script.

    uv run python packages/research-train/benchmarks/start.py [--repeats 5] [--steps 1000]

Each is a process of its own, in turn, with the model, data and evaluations of paper-mnist1d's
default. Time: from the start of the process to the end of its first step, everything imported and
read on the way. Memory: the peak of the process; `train` has everything on, and its checkpoints'
buffers are counted too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from research_train import find_member, installed_members, prepare_assets

BARE = """
import resource, sys, time
import torch
from paper_mnist1d.models import MODELS
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

data = load_file(sys.argv[1])
inputs, targets = data["train_inputs"], data["train_targets"]
model = MODELS["cnn"]()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for step in range(int(sys.argv[2])):
    rows = slice(step % 40 * 100, step % 40 * 100 + 100)
    loss = cross_entropy(model(inputs[rows]), targets[rows])
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    if step == 0:
        loss.item()
        print(time.time())
    if (step + 1) % 250 == 0:
        model.eval()
        with torch.no_grad():
            (model(data["test_inputs"]).argmax(-1) == data["test_targets"]).float().mean().item()
        model.train()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def bare(data: Path, steps: int) -> tuple[float, float]:
    """Seconds to the first step, and bytes at the peak."""
    began = time.time()
    command = [sys.executable, "-c", BARE, str(data), str(steps)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    first, peak = map(float, output.split())
    return first - began, peak


def ours(steps: int) -> tuple[float, float]:
    """As `bare`, read from the metrics of a long run and of one of a single step."""
    long = last_metrics(f"steps={steps}", "checkpoint_every=100")
    began = time.time()
    short = last_metrics("steps=1")
    return short["time"] - began, long["memory/peak_bytes"]


def last_metrics(*words: str) -> dict[str, float]:
    """Train; returns the last line of metrics that says what memory was used."""
    command = [str(Path(sys.executable).with_name("train")), "--paper", "mnist1d", "--quiet"]
    done = subprocess.run([*command, "--json", *words], capture_output=True, check=True)
    run = Path(json.loads(done.stdout)["run"])
    logged = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in logged if "memory/peak_bytes" in line][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESEARCH_ASSETS"] = folder
        prepare_assets(find_member("mnist1d", installed_members()))
        [data] = Path(folder).glob("datasets/mnist1d@*/data.safetensors")
        delays, ratios = [], []
        for repeat in range(options.repeats):
            sides = {}
            for side in ("bare", "ours")[:: -1 if repeat % 2 else 1]:
                sides[side] = bare(data, options.steps) if side == "bare" else ours(options.steps)
            (bare_first, bare_peak), (first, peak) = sides["bare"], sides["ours"]
            print(
                f"first step: train {first:.2f} s, bare {bare_first:.2f} s; "
                f"peak: train {peak / 1e6:.0f} MB, bare {bare_peak / 1e6:.0f} MB"
            )
            delays.append(first - bare_first)
            ratios.append(peak / bare_peak)
    print(
        f"first step {statistics.median(delays):.2f} s after the bare script's "
        f"({min(delays):.2f} to {max(delays):.2f}); peak {statistics.median(ratios):.3f} of its "
        f"({min(ratios):.3f} to {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
