"""What the Trainer costs: the default training of paper-mnist1d against a bare PyTorch loop.

    uv run python packages/research-train/benchmarks/bare_loop.py [--repeats 7] [key=value ...]
    uv run python packages/research-train/benchmarks/bare_loop.py --repeats 1 steps=300    # seconds

Both train the same model on the same data with the same evaluations, in turn in one process; the
Trainer with everything on: metrics, TensorBoard, progress and checkpoints. Imports, and making the
run's folder, come before the clock; waiting for the trackers at the end counts. The ratio is taken
pair by pair, each first in turn. The final weights must be equal to the bit.

Beside the ratio of seconds stands that of the loop's own processor time, which other work on the
machine changes little, and which lacks what runs beside the loop (trackers, checkpoints' writing).
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from paper_mnist1d.config import Config
from paper_mnist1d.data import Data, load_mnist1d
from paper_mnist1d.models import MODELS
from paper_mnist1d.train import train
from research_train import find_member, installed_members, load_config, prepare_assets
from research_train.record.run import Run
from research_train.record.start import start_run
from research_train.state.random_state import seed_everything
from torch import nn
from torch.nn.functional import cross_entropy


class Cost(NamedTuple):
    """Seconds by the clock, and of processor time in the thread that trains."""

    wall: float
    processor: float

    def over(self, other: "Cost") -> "Cost":
        """The ratios of this cost to another."""
        return Cost(self.wall / other.wall, self.processor / other.processor)


def cost_of(work: Callable[[], None]) -> Cost:
    wall, processor = time.perf_counter(), time.thread_time()
    work()
    return Cost(time.perf_counter() - wall, time.thread_time() - processor)


def trained(config: Config, run: Run) -> None:
    """The paper's own training, with everything on."""
    with run.attempt():
        run.record.metrics = train(config, run)


def bare(config: Config, data: Data, model: nn.Module) -> None:
    """The same training as anyone would write it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    inputs, targets = data.train
    batches = len(inputs) // config.batch_size
    for step in range(config.steps):
        start = step % batches * config.batch_size
        rows = slice(start, start + config.batch_size)
        loss = cross_entropy(model(inputs[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % config.evaluate_every == 0:
            test_accuracy(model, data)
    test_accuracy(model, data)


def test_accuracy(model: nn.Module, data: Data) -> float:
    model.eval()
    with torch.no_grad():
        right = (model(data.test.inputs).argmax(-1) == data.test.targets).float().mean().item()
    model.train()
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESEARCH_ASSETS"] = folder
        experiment = find_member("mnist1d", installed_members()).experiment()
        config = load_config(experiment, options.overrides)
        assert isinstance(config, Config)
        assets = prepare_assets(experiment.member)
        ratios = []
        for repeat in range(options.repeats + 1):
            run = start_run(experiment, config, assets)
            data = load_mnist1d(run.asset("mnist1d"))
            seed_everything(config.seed)
            model = MODELS[config.model]()
            sides = [partial(trained, config, run), partial(bare, config, data, model)]
            # Each goes first in turn: a machine that warms up favours neither.
            costs = [cost_of(side) for side in sides[:: (-1) ** repeat]]
            ours, theirs = costs[:: (-1) ** repeat]
            weights = run.load_weights(MODELS[config.model]()).state_dict()
            assert all(torch.equal(weights[n], value) for n, value in model.state_dict().items())
            ratio = ours.over(theirs)
            label = f"repeat {repeat}" if repeat else "warm-up "
            print(
                f"{label}: Trainer {ours.wall:.2f} s, bare {theirs.wall:.2f} s, ratio "
                f"{ratio.wall:.3f}; processor {ratio.processor:.3f}",
                flush=True,
            )
            if repeat:
                ratios.append(ratio)
    for name, each in zip(Cost._fields, zip(*ratios, strict=True), strict=True):
        print(
            f"{config.model}, {config.steps} steps, {torch.get_num_threads()} threads: median "
            f"ratio ({name}) {statistics.median(each):.3f} (min {min(each):.3f}, "
            f"max {max(each):.3f})"
        )


if __name__ == "__main__":
    main()
