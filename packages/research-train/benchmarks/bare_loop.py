"""What the Trainer costs: the default training of paper-mnist1d against a bare PyTorch loop.

    uv run python packages/research-train/benchmarks/bare_loop.py [--repeats 5] [key=value ...]

Both train the same model on the same data with the same evaluations, in turn in one process; the
Trainer with everything on: metrics, TensorBoard, progress and checkpoints. Imports, and making the
run's folder, come before the clock; waiting for the trackers at the end counts. The ratio is taken
pair by pair, each first in turn. The final weights must be equal to the bit.
"""

import argparse
import os
import statistics
import tempfile
import time

import torch
from paper_mnist1d.config import Config
from paper_mnist1d.data import Data, load_mnist1d
from paper_mnist1d.models import MODELS
from paper_mnist1d.train import train
from research_train import find_member, installed_members, load_config, prepare_assets
from research_train.record.run import Run
from research_train.record.start import start_run
from research_train.state.random_state import seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def trained(config: Config, run: Run) -> float:
    """The paper's own training, with everything on; returns seconds."""
    began = time.perf_counter()
    with run.attempt():
        run.record.metrics = train(config, run)
    return time.perf_counter() - began


def bare(config: Config, data: Data) -> tuple[float, dict[str, Tensor]]:
    """The same training as anyone would write it; returns seconds and weights."""
    seed_everything(config.seed)
    began = time.perf_counter()
    model = MODELS[config.model]()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
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
    return time.perf_counter() - began, model.state_dict()


def test_accuracy(model: nn.Module, data: Data) -> float:
    model.eval()
    with torch.no_grad():
        right = (model(data.test.inputs).argmax(-1) == data.test.targets).float().mean().item()
    model.train()
    return right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
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
            if repeat % 2:  # each goes first in turn: a machine that warms up favours neither
                theirs, weights = bare(config, data)
                ours = trained(config, run)
            else:
                ours = trained(config, run)
                theirs, weights = bare(config, data)
            model = run.load_weights(MODELS[config.model]()).state_dict()
            assert all(torch.equal(model[name], weights[name]) for name in weights)
            label = f"repeat {repeat}" if repeat else "warm-up "
            print(f"{label}: Trainer {ours:.2f} s, bare {theirs:.2f} s, ratio {ours / theirs:.3f}")
            if repeat:
                ratios.append(ours / theirs)
    print(
        f"{config.model}, {config.steps} steps, {torch.get_num_threads()} threads: median ratio "
        f"{statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
