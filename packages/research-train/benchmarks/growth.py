"""What grows with use: how long `research-cli run list` takes with many runs.

    uv run python packages/research-train/benchmarks/growth.py [--runs 1000 10000] [--repeats 4]

The runs are copies of real records with values of their own, 1,000 a day, of 100 papers, in a
temporary folder; --folder makes them in one that stays. Whole processes are timed: the first of a
command by itself, as it may find cold files and nothing remembered, then the median of the others.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from research_train import TrainConfig
from research_train.record.environment import GitState, describe_environment, host_name
from research_train.record.record import Attempt, RunRecord, record_as_json, utc_now
from research_train.record.resolved_config import write_config

LIST = [str(Path(sys.executable).with_name("research-cli")), "run", "list"]
COMMANDS = {
    "--limit 50": ["--limit", "50"],
    "all": [],
    "--where --sort --limit 10": [
        *("--where", "optimizer.lr>1e-3", "--sort", "test/accuracy", "--limit", "10"),
    ],
}
PAPERS = 100
PER_DAY = 1000
RATES = 20  # learning rates that the runs have
METRICS = '{"step": 1, "time": 1.0, "train/loss": 1.0}\n' * 100


class Config(TrainConfig):
    """The config of the runs that are made."""

    model: str
    optimizer: dict[str, Any]


@dataclass(frozen=True)
class Written:
    """A run as it is recorded: the content of run.json and of config.yaml."""

    record: dict[str, Any]
    config: str


def written_run(folder: Path, lr: float) -> Written:
    now, here = utc_now(), describe_environment()
    command = ["train", "--paper", "paper"]
    attempt = Attempt(
        time=now,
        end=utc_now(),
        status="completed",
        command=command,
        host=host_name(),
        environment=here,
    )
    record = RunRecord(
        id="",
        paper="",
        experiment="",
        status="completed",
        started=now,
        ended=attempt.end,
        command=command,
        seed=0,
        git=GitState(commit="a" * 40, dirty=False),
        source="a" * 64,
        fingerprint="f" * 64,
        lock_sha256="c" * 64,
        packages={f"package-{n}": "1.2.3" for n in range(20)},
        assets={"mnist1d": "9046df727bb8"},
        environment=here,
        attempts=[attempt],
        seal="e" * 64,
    )
    optimizer = {"lr": lr, "betas": [0.9, 0.99], "weight_decay": 1e-5}
    write_config(folder, record, Config(model="cnn", optimizer=optimizer))
    return Written(record_as_json(record), (folder / "config.yaml").read_text())


def make_runs(outputs: Path, count: int) -> None:
    """Write runs, without waiting for the disk at each as a training does."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        rates = [10 ** chance.uniform(-5, -1) for _ in range(RATES)]
        written = [written_run(Path(folder), lr) for lr in rates]
    for number in range(count):
        began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number / PER_DAY)
        paper, seed = f"paper{number % PAPERS:03}", number % 5
        name = f"{began:%Y%m%d-%H%M%S}.000-seed{seed}"
        one = chance.choice(written)
        own = {
            "id": name,
            "paper": paper,
            "experiment": paper,
            "seed": seed,
            "started": began.isoformat(timespec="milliseconds"),
            "metrics": {"test/accuracy": chance.random(), "test/loss": chance.random()},
        }
        folder = outputs / paper / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({**one.record, **own}, indent=2))
        (folder / "config.yaml").write_text(one.config)
        (folder / "metrics.jsonl").write_text(METRICS)
        (folder / ".lock").touch()


def seconds(options: list[str], assets: Path) -> float:
    began = time.perf_counter()
    environment = {**os.environ, "RESEARCH_ASSETS": str(assets)}
    subprocess.run([*LIST, *options], env=environment, capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where the runs are made, and stay")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        start = statistics.median(
            seconds([], Path(temporary, "none")) for _ in range(options.repeats)
        )
        print(f"without any run: {start:.2f} s")
        for count in options.runs:
            assets = (options.folder or Path(temporary)) / str(count)
            if not assets.exists():
                make_runs(assets / "outputs", count)
            for name, words in COMMANDS.items():
                first, *others = (seconds(words, assets) for _ in range(options.repeats))
                took = others or [first]
                print(
                    f"{count:,} runs, {name}: {statistics.median(took):.2f} s "
                    f"({min(took):.2f} to {max(took):.2f}), the first time {first:.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
