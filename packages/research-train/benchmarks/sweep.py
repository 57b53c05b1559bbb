"""What a run costs in a sweep beyond its training, against a `train` for each.

    uv run python packages/research-train/benchmarks/sweep.py [--repeats 3] [--runs 20] [--steps 5]

The sweep is a grid of learning rates by two seeds of paper-mnist1d's MLP, by the command, with all
that it writes and draws: the time of the whole process over its runs, less the steps themselves.
Beside it, in turn, some of these runs by a process `train` each, one after the other.
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

COMMANDS = Path(sys.executable).parent
SEEDS = 2


def timed(*words: str | Path) -> tuple[float, str]:
    """Seconds that a command takes, and what it prints."""
    began = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - began, done.stdout


def stepping(runs: list[str], steps: int) -> float:
    """Seconds that the steps of runs took."""
    assets, total = Path(os.environ["RESEARCH_ASSETS"]), 0.0
    for run in runs:
        lines = (assets / "outputs" / "mnist1d" / run / "metrics.jsonl").read_text().splitlines()
        rates = [json.loads(line).get("speed/steps_per_second") for line in lines]
        total += steps / next(rate for rate in rates if rate)
    return total


def swept(name: str, settings: int, steps: int, jobs: int) -> tuple[float, float]:
    """Seconds a run in a sweep, without its steps; and all of it."""
    rates = f"learning_rate=1e-4..1e-1:{settings}" if settings > 1 else "learning_rate=1e-2"
    words = ["model=mlp", rates, f"seed=0..{SEEDS - 1}", f"steps={steps}"]
    options = ["--name", name, "--jobs", str(jobs), "--metric", "test/accuracy", "--max", "--json"]
    seconds, output = timed(COMMANDS / "research-cli", "sweep", "mnist1d", *words, *options)
    found = json.loads(output)["settings"]
    runs = [run for each in found for run in each["runs"]]
    assert len(runs) == settings * SEEDS and all(each["state"] == "complete" for each in found)
    # What the jobs do at the same time counts once.
    return (seconds - stepping(runs, steps) / jobs) / len(runs), seconds


def trained(number: int, steps: int) -> float:
    """Seconds of a run by a `train` of its own, without its steps."""
    words = ["model=mlp", f"seed={number}", f"steps={steps}", "--json", "--quiet"]
    seconds, output = timed(COMMANDS / "train", "--paper", "mnist1d", *words)
    return seconds - stepping([Path(json.loads(output)["run"]).name], steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--runs", type=int, default=20, help=f"a multiple of {SEEDS}")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESEARCH_ASSETS"] = folder
        trained(0, options.steps)  # makes the data, and compiled files where there were none
        sweeps, trains = [], []
        for repeat in range(options.repeats):
            settings = options.runs // SEEDS
            each, whole = swept(f"bench-{repeat}", settings, options.steps, options.jobs)
            alone = trained(repeat, options.steps)
            print(f"sweep: {each:.2f} s a run beyond its steps ({whole:.1f} s in all); ", end="")
            print(f"train: {alone:.2f} s", flush=True)
            sweeps.append(each)
            trains.append(alone)
    print(
        f"{options.runs} runs of {options.steps} steps in {options.jobs} jobs: "
        f"{statistics.median(sweeps):.2f} s a run beyond its steps "
        f"({min(sweeps):.2f} to {max(sweeps):.2f}); a train for each takes "
        f"{statistics.median(trains):.2f} s ({min(trains):.2f} to {max(trains):.2f})"
    )


if __name__ == "__main__":
    main()
