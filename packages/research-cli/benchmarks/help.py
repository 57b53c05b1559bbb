"""How long `--help` takes, as a whole process: the best and the median of some calls.

uv run python packages/research-cli/benchmarks/help.py [--repeats 9]
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = (
    ["research-cli", "--help"],
    ["research-cli", "dataset", "--help"],
    ["research-cli", "dataset", "list"],
    ["train", "--paper", "mnist1d", "--help"],
)


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([BIN / command[0], *command[1:]], capture_output=True, check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    for command in COMMANDS:
        took = [seconds(command) for _ in range(options.repeats)]
        shown = " ".join(command)
        print(f"{shown}: best {min(took):.2f} s, median {statistics.median(took):.2f} s")


if __name__ == "__main__":
    main()
