"""How long it takes to list 1,000 runs, beyond what `research-cli run list` takes without any.

    uv run python packages/research-train/benchmarks/run_list.py [--runs 1000] [--repeats 7]

The runs are copies of one real record with values of their own; whole processes are timed, the
commands in turn, and the medians compared. Byte-compiled: the first call of each isn't counted.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from research_data.durable import write_json
from research_train import TrainConfig
from research_train.record.environment import describe_environment, git_state, host_name
from research_train.record.record import Attempt, RunRecord, record_as_json, utc_now
from research_train.record.resolved_config import write_config

LIST = [str(Path(sys.executable).with_name("research-cli")), "run", "list"]
COMMANDS = {
    "run list": LIST,
    "run list --json": [*LIST, "--json"],
    "run list --where --sort --limit": [
        *LIST,
        *("--where", "lr>1e-3", "--sort", "test/accuracy", "--limit", "20"),
    ],
}


class Config(TrainConfig):
    """The config of the runs that are made."""

    model: str
    optimizer: dict[str, Any]


CONFIG = {
    "seed": 0,
    "steps": 6000,
    "batch_size": 100,
    "device": "auto",
    "precision": "float32",
    "deterministic": False,
    "checkpoint_every": 1000,
    "tensorboard": True,
    "wandb": "disabled",
    "model": "cnn",
    "optimizer": {"lr": 0.01, "betas": [0.9, 0.99], "weight_decay": 1e-5},
}


def make_runs(outputs: Path, count: int) -> None:
    here, chance = describe_environment(), random.Random(0)
    for number in range(count):
        id_ = f"20261124-{number:06d}.000-seed{number % 5}"
        folder = outputs / f"paper{number % 4}" / id_
        folder.mkdir(parents=True)
        began, seed = utc_now(), number % 5
        command = ["train", "--paper", "paper", f"seed={seed}"]
        attempt = Attempt(
            time=began,
            end=utc_now(),
            status="completed",
            command=command,
            host=host_name(),
            environment=here,
        )
        record = RunRecord(
            id=id_,
            paper=folder.parent.name,
            experiment=folder.parent.name,
            status="completed",
            started=began,
            ended=attempt.end,
            command=command,
            seed=seed,
            git=git_state(folder) if number == 0 else {"commit": "a" * 40, "dirty": False},
            source="a" * 64,
            fingerprint="f" * 64,
            lock_sha256="c" * 64,
            packages={f"package-{n}": "1.2.3" for n in range(20)},
            assets={"mnist1d": "9046df727bb8"},
            environment=here,
            attempts=[attempt],
            metrics={"test/accuracy": chance.random(), "test/loss": chance.random()},
            seal="e" * 64,
        )
        optimizer = {**CONFIG["optimizer"], "lr": 10 ** chance.uniform(-5, -1)}
        write_config(folder, record, Config(**{**CONFIG, "optimizer": optimizer}))
        write_json(folder / "run.json", record_as_json(record))
        (folder / "metrics.jsonl").write_text('{"step": 1, "time": 1.0, "train/loss": 1.0}\n' * 100)
        (folder / ".lock").touch()


def seconds(command: list[str], assets: Path) -> float:
    began = time.perf_counter()
    environment = {**os.environ, "RESEARCH_ASSETS": str(assets)}
    subprocess.run(command, env=environment, capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder, "empty"), Path(folder, "full")
        make_runs(full / "outputs", options.runs)
        for name, command in COMMANDS.items():
            seconds(LIST, empty), seconds(command, full)
            pairs = [(seconds(LIST, empty), seconds(command, full)) for _ in range(options.repeats)]
            start, took = (statistics.median(column) for column in zip(*pairs, strict=True))
            print(
                f"{name}: {took:.2f} s for {options.runs} runs, start-up {start:.2f} s: "
                f"{took - start:.2f} s beyond it"
            )


if __name__ == "__main__":
    main()
