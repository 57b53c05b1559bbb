"""How long `research-cli report` takes for 8 papers and 1,000 runs, and how large its page is.

    uv run python packages/research-cli/benchmarks/report.py [--runs 1000] [--keep FOLDER]

Papers, claims and runs are made up: of each paper several settings of five seeds, every run with
200 logged points. Whole processes are timed, the first one (which compiles) apart. --keep: where
the workspace and its page stay, to be opened in a browser.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from research_train.claims.claim import Claim, judge
from research_train.experiment.yaml_file import dump_yaml
from research_train.record.environment import describe_environment, host_name
from research_train.record.record import Attempt, RunRecord, record_as_json, utc_now

SEEDS = 5
POINTS = 200
SHIFTS = (0.0, 0.0, 0.1, 1.0, 0.5, 3.0)  # of the claims: reproduced, undecided, not reproduced


def make_paper(folder: Path, number: int, settings: int) -> None:
    """A paper of six claims, one a setting."""
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "paper-{folder.name}"\nversion = "0.1.0"\nrequires-python = ">=3.11"\n'
        f'description = "A made-up paper, number {number}."\ndependencies = []\n'
        f'[tool.research]\ntitle = "Made-up paper number {number}, whose title takes a line"\n'
        f'year = {2015 + number}\narxiv = "{1500 + number}.{10000 + number}"\n'
    )
    claims, results = [], []
    for index in range(min(settings, len(SHIFTS))):
        name, published = f"setting-{index}", round(60 + 5 * index + number, 1)
        claim = Claim.model_validate(
            {
                "name": name,
                "what": f"Test accuracy of setting {index}.",
                "kind": "value",
                "metric": "test/accuracy",
                "published": published,
                "unit": "%",
                "tolerance": 1.0,
                "reason": "made up",
                "overrides": {name: [f"width={2**index}"]},
            }
        )
        claims.append(claim.model_dump(exclude_unset=True))
        shift = SHIFTS[(index + number) % len(SHIFTS)]
        finding = judge(claim, [published + shift + 0.4 * seed - 0.8 for seed in range(SEEDS)])
        results.append(
            {
                "name": name,
                "published": published,
                "mean": finding.mean,
                "interval": list(finding.interval),
                "n": SEEDS,
                "verdict": finding.verdict,
                "runs": [run_id(index * SEEDS + seed) for seed in range(SEEDS)],
                "values": finding.values,
            }
        )
    (folder / "claims.yaml").write_text(dump_yaml({"source": "made up", "claims": claims}))
    (folder / "results.json").write_text(
        json.dumps(
            {
                "schema": 1,
                "source": "made up, Table 1",
                "date": "2026-11-24",
                "hardware": "no machine",
                "packages": "research-train 0.1.0, torch 2.10.0",
                "claims": results,
            }
        )
    )


def run_id(number: int) -> str:
    return f"20261124-{number:06d}.000-seed{number % SEEDS}"


def make_run(folder: Path, number: int, chance: random.Random) -> None:
    """Run `number` of a paper: five seeds of a setting after one another."""
    folder.mkdir(parents=True)
    here, began = describe_environment(), utc_now()
    setting, seed = divmod(number, SEEDS)
    command = ["train", f"width={2**setting}", f"seed={seed}"]
    attempt = Attempt(
        time=began,
        end=utc_now(),
        status="completed",
        command=command,
        host=host_name(),
        environment=here,
    )
    lines, accuracy = [], 0.0
    for point in range(1, POINTS + 1):
        step, loss = 30 * point, math.exp(-point / (20 + 5 * setting)) * chance.uniform(0.8, 1.2)
        numbers = {"train/loss": loss, "train/learning_rate": 0.01, "speed/steps_per_second": 400.0}
        lines.append(json.dumps({"step": step, "time": 1.8e9 + step, **numbers}))
        if point % 5 == 0:
            accuracy = (60 + 5 * setting) * (1 - math.exp(-point / 30)) + chance.gauss(0, 1)
            lines.append(
                json.dumps({"step": step, "time": 1.8e9 + step, "test/accuracy": accuracy})
            )
    record = RunRecord(
        id=folder.name,
        paper=folder.parent.name,
        experiment=folder.parent.name,
        status="completed",
        started=began,
        ended=attempt.end,
        command=command,
        seed=seed,
        git={"commit": "a" * 40, "dirty": False},
        source="a" * 64,
        fingerprint="f" * 64,
        lock_sha256="c" * 64,
        packages={f"package-{n}": "1.2.3" for n in range(20)},
        assets={"mnist1d": "9046df727bb8"},
        environment=here,
        attempts=[attempt],
        metrics={"test/accuracy": accuracy, "test/loss": chance.random()},
        seal="e" * 64,
    )
    config = {"seed": seed, "steps": 6000, "batch_size": 100, "width": 2**setting}
    (folder / "run.json").write_text(json.dumps(record_as_json(record), indent=2))
    (folder / "config.yaml").write_text(dump_yaml(config))
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / ".lock").touch()


def make_workspace(root: Path, papers: int, runs: int) -> None:
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["papers/*"]\n')
    chance = random.Random(0)
    for number in range(papers):
        count = runs // papers + (number < runs % papers)
        make_paper(root / "papers" / f"paper{number}", number, math.ceil(count / SEEDS))
        for run in range(count):
            folder = root / "assets" / "outputs" / f"paper{number}" / run_id(run)
            make_run(folder, run, chance)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--papers", type=int, default=8)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as elsewhere:
        root = (options.keep or Path(elsewhere)) / "workspace"
        make_workspace(root, options.papers, options.runs)
        page = root / "report.html"
        command = [Path(sys.executable).with_name("research-cli"), "report", "--out", page]
        environment = {**os.environ, "RESEARCH_ASSETS": str(root / "assets")}
        took = []
        for _ in range(options.repeats + 1):
            began = time.perf_counter()
            subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
            took.append(time.perf_counter() - began)
        print(
            f"{options.papers} papers, {options.runs} runs: "
            f"median {statistics.median(took[1:]):.2f} s, first {took[0]:.2f} s; "
            f"{page.stat().st_size / 1e6:.2f} MB"
        )


if __name__ == "__main__":
    main()
