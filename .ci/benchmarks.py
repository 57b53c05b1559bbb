"""Run every benchmark once, on little: their numbers take their own defaults and a quiet machine.

Each is a fork of this process, which has imported torch: that is most of what so short a one takes.
"""

import importlib
import os
import runpy
import sys
from pathlib import Path

BENCHMARKS = """
train/benchmarks/start.py --repeats 1 --steps 20
train/benchmarks/compiled.py toy --repeats 1 --steps 5
train/benchmarks/gpt.py --repeats 2 --steps 5
train/benchmarks/bare_loop.py --repeats 1 model=logistic steps=100
train/benchmarks/checkpoint.py --repeats 1
cli/benchmarks/report.py --repeats 1 --papers 2 --runs 20
models/benchmarks/parity.py
train/benchmarks/growth.py --repeats 1 --runs 20
models/benchmarks/transformer.py --repeats 1 --layers 1 --width 32 --length 16 --new-tokens 4
data/benchmarks/assets.py --repeats 1 --gigabytes 0.01
train/benchmarks/several.py --repeats 1 --steps 5
models/benchmarks/resnet.py --repeats 1 --batch 4 --large-batch 2 --large-size 32
data/benchmarks/batches.py --repeats 1 --rows 2000
models/benchmarks/mixers.py --repeats 1 --passes 1 --lengths 64
train/benchmarks/sweep.py --repeats 1 --runs 2 --jobs 1
train/benchmarks/verdicts.py --draws 20
data/benchmarks/augment.py --repeats 1 --images 512
cli/benchmarks/help.py --repeats 1
"""


def run(script: Path, words: list[str]) -> int:
    """Run a script in this process as `python script words` would; returns its exit code."""
    sys.argv = [str(script), *words]
    sys.path.insert(0, str(script.parent))
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def main() -> int:
    """Run all; returns 1 if one of them fails."""
    for name in ("torch._dynamo", "research_train.loop.trainer", "research_models.transformer"):
        importlib.import_module(name)
    packages = Path(__file__).parents[1] / "packages"
    failed = []
    for line in BENCHMARKS.split("\n")[1:-1]:
        script, *words = line.split()
        if not (child := os.fork()):
            code = run(packages / f"research-{script}", words)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status, used = os.wait4(child, 0)
        print(f"{used.ru_utime + used.ru_stime:5.1f} s of a processor: {line}", flush=True)
        failed += [line] if status else []
    for line in failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
