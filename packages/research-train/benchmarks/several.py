"""What two processes bring: how fast parallel=ddp is, and what memory parallel=fsdp saves.

    uv run python packages/research-train/benchmarks/several.py [--repeats 6] [--steps 200]
    uv run python packages/research-train/benchmarks/several.py --width 512    # a larger model
    uv run python packages/research-train/benchmarks/several.py --batch 256    # a larger batch

The GPT of gpt.py in batches of 32, each process on one thread, as the Trainer trains it. What
processes exchange in a step doesn't grow with the batch, what they compute does. Speed:
steps a second of two processes over those of one, each first in turn, after a few steps to warm up.
Memory: bytes in a process's weights, gradients and optimizer state (AdamW) at its last update.
What work beside it on the machine takes from two processes it hardly takes from one: with any, the
ratio of speeds is lower than it could be.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gpt import GPT, LENGTH, VOCABULARY, loss
from research_data import Batches
from research_train import Trainer, find_member, installed_members, load_config, prepare_assets
from research_train.processes.messages import joined, share
from research_train.processes.world import World, this_world
from research_train.record.start import join_run, start_run
from research_train.state.random_state import seed_everything
from torch import Tensor
from torch.optim import Optimizer

WARM = 20  # steps before the clock


def bytes_here(tensor: Tensor | None) -> int:
    """The bytes that this process has of a tensor."""
    here = getattr(tensor, "to_local", lambda: tensor)()
    return 0 if here is None else here.numel() * here.element_size()


def train(world: World, words: Sequence[str], width: int, batch: int) -> dict[str, float]:
    """Train in this process; returns seconds a step, and bytes at the last update."""
    torch.set_num_threads(1)
    experiment = find_member("mnist1d", installed_members()).experiment()  # any will do
    with joined(world):
        config = load_config(experiment, words)
        if world.rank == 0:
            run = start_run(experiment, config, prepare_assets(experiment.member))
            run.world = world
            share(str(run.folder), world)
        else:
            run = join_run(Path(share(None, world)), None, experiment, world)
        run.quiet = True
        seed_everything(0)
        text = torch.randint(VOCABULARY, (100 * batch, LENGTH + 1))
        data = text[:, :-1].contiguous(), text[:, 1:].contiguous()
        model = GPT(width)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        seen: dict[str, Any] = {"began": 0.0, "steps": 0, "bytes": 0}

        def after(optimizer: Optimizer, *_: object) -> None:
            seen["steps"] += 1
            if seen["steps"] == WARM:
                seen["began"] = time.perf_counter()
            if seen["steps"] == config.steps:
                seen["seconds"] = (time.perf_counter() - seen["began"]) / (config.steps - WARM)
                states = [t for each in optimizer.state.values() for t in each.values()]
                kept = [(p, p.grad) for p in model.parameters()]
                seen["bytes"] = sum(map(bytes_here, [t for pair in kept for t in pair] + states))

        optimizer.register_step_post_hook(after)
        with run.attempt():
            Trainer(run, model, optimizer, loss).fit(Batches(data, batch))
    return {"seconds": seen["seconds"], "bytes": seen["bytes"]}


def measure(processes: int, words: Sequence[str], width: int, batch: int) -> dict[str, float]:
    """Train in forks of this process, which has imported torch; returns what the first measured."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    reading, writing = os.pipe()
    children = []
    for rank in range(processes):
        if child := os.fork():
            children.append(child)
            continue
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        try:
            measured = train(this_world(), words, width, batch)
            if rank == 0:
                os.write(writing, json.dumps(measured).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    codes = [os.waitpid(child, 0)[1] for child in children]
    with os.fdopen(reading) as said:
        content = said.read()
    if any(codes):
        sys.exit("a process failed")
    return json.loads(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=6, help="an even number favours neither")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument(
        "--batch", type=int, default=32, help="sequences, of all processes together"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESEARCH_ASSETS"] = folder
        words = [
            f"batch_size={options.batch}",
            f"steps={options.steps + WARM}",
            "tensorboard=false",
        ]
        words += ["log_every=1000000", "checkpoint_every=1000000"]

        def side(processes: int, *more: str) -> dict[str, float]:
            return measure(processes, [*words, *more], options.width, options.batch)

        ratios = []
        for repeat in range(options.repeats):
            order = (1, 2) if repeat % 2 else (2, 1)
            seconds = {processes: side(processes)["seconds"] for processes in order}
            ratios.append(seconds[1] / seconds[2])
            print(
                f"repeat {repeat}: one process {seconds[1] * 1e3:.1f} ms a step, two "
                f"{seconds[2] * 1e3:.1f} ms, ratio {ratios[-1]:.3f}",
                flush=True,
            )
        ddp, fsdp = (side(2, f"parallel={kind}") for kind in ("ddp", "fsdp"))
    print(
        f"GPT 2x{options.width}, batches of {options.batch}, ddp on two processes: "
        f"{statistics.median(ratios):.3f} times as fast as one "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f})"
    )
    print(
        f"memory in a process: ddp {ddp['bytes'] / 1e6:.2f} MB, fsdp {fsdp['bytes'] / 1e6:.2f} MB, "
        f"ratio {fsdp['bytes'] / ddp['bytes']:.3f}; a step of fsdp takes "
        f"{fsdp['seconds'] / ddp['seconds']:.2f} times as long"
    )


if __name__ == "__main__":
    main()
