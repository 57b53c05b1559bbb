"""What pulling, verifying and loading cost, side by side with the tools they are built on.

    uv run python packages/research-data/benchmarks/assets.py [--repeats 5] [WORK ...]

A hub on 127.0.0.1 (the tests' own) serves random files. Work: pull, verify, again, disk, load.
Both sides of a ratio run in turn, each first in turn; ratios are taken pair by pair.
"""

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

WORK = ("pull", "verify", "again", "disk", "load")
FILES = 40


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def compare(name, ours, theirs, repeats, before=lambda: None) -> None:
    """Print the median of the ratios of two actions run in turn."""
    ratios, times = [], []
    for repeat in range(repeats + 1):
        pair = {}
        for label, action in [("ours", ours), ("theirs", theirs)][:: -1 if repeat % 2 else 1]:
            before()
            pair[label] = seconds(action)
        if repeat:  # the first pair fills the caches
            ratios.append(pair["ours"] / pair["theirs"])
            times.append(pair)
    medians = {key: statistics.median(pair[key] for pair in times) for key in ("ours", "theirs")}
    print(
        f"{name}: median ratio {statistics.median(ratios):.3f} of {repeats} "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f}); "
        f"ours {medians['ours']:.2f} s, theirs {medians['theirs']:.2f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("work", nargs="*", metavar="WORK", help=", ".join(WORK))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        folder = Path(scratch).resolve()
        os.environ |= {
            "RESEARCH_ASSETS": str(folder / "assets"),
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
        from hub_server import add_repo, running_hub

        size = int(options.gigabytes * 1e9) // FILES
        files = {f"rows-{i:02d}.bin": os.urandom(size) for i in range(FILES)}
        add_repo(folder / "hub", "datasets", "org/big", files)
        del files
        with running_hub(folder / "hub") as server:
            os.environ["HF_ENDPOINT"] = server.url
            for work in options.work or WORK:
                MEASURES[work](folder, options)


def measure_pull(folder: Path, options: argparse.Namespace) -> None:
    from huggingface_hub import snapshot_download
    from research_data import pull_dataset

    def clean() -> None:
        shutil.rmtree(folder / "assets", ignore_errors=True)
        shutil.rmtree(folder / "hf", ignore_errors=True)
        os.sync()  # neither pays for what the other left to write

    compare(
        f"pull {options.gigabytes:g} GB in {FILES} files / snapshot_download",
        lambda: pull_dataset("org/big", quiet=True),
        lambda: snapshot_download("org/big", repo_type="dataset"),
        options.repeats,
        clean,
    )


def measure_verify(folder: Path, options: argparse.Namespace) -> None:
    from research_data import pull_dataset, verify_asset

    asset = pull_dataset("org/big", quiet=True)

    def threaded_hashlib() -> None:
        def digest(path: Path) -> str:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(digest, sorted(asset.folder.glob("rows-*"))))

    def sha256sum() -> None:
        subprocess.run(["sha256sum", *sorted(asset.folder.glob("rows-*"))], stdout=-3, check=True)

    ours = lambda: verify_asset(asset.folder)  # noqa: E731
    compare("verify / threaded hashlib", ours, threaded_hashlib, options.repeats)
    compare("verify / sha256sum", ours, sha256sum, options.repeats)


def measure_again(folder: Path, options: argparse.Namespace) -> None:
    from research_data import pull_dataset

    pull_dataset("org/big", quiet=True)
    took = [seconds(lambda: pull_dataset("org/big", quiet=True)) for _ in range(options.repeats)]
    print(f"a second pull of an intact asset, beyond imports: {statistics.median(took):.4f} s")


def measure_disk(folder: Path, options: argparse.Namespace) -> None:
    from research_data import pull_dataset

    asset = pull_dataset("org/big", quiet=True)
    shutil.rmtree(folder / "hf", ignore_errors=True)
    blocks = sum(path.lstat().st_blocks * 512 for path in (folder / "assets").rglob("*"))
    print(f"disk after a pull / stored on the hub: {blocks / asset.manifest.size:.4f}")


LOAD = """
import sys, threading, time
from pathlib import Path
from research_data import open_dataset
import datasets

def memory():  # MB of the process's own; pages of mapped files are the system's, given back at need
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))

peak, done = 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, memory())
        time.sleep(0.02)

before, began = memory(), time.perf_counter()
watcher = threading.Thread(target=watch)
watcher.start()
rows = open_dataset(Path(sys.argv[1]))["train"]
opened = time.perf_counter() - began
grown = memory() - before
done = True
watcher.join()
read = sum(len(rows[i]["data"]) for i in range(0, len(rows), max(1, len(rows) // 1000)))
print(f"{len(rows)} rows in {opened:.1f} s; own memory grew by {grown:.0f} MB "
      f"(peak {peak - before:.0f} MB), and by {memory() - before:.0f} MB after reading 1,000 rows")
"""


def measure_load(folder: Path, options: argparse.Namespace) -> None:
    """A dataset asset of five times the gigabytes, made into Arrow, then mapped."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from research_data import import_asset

    source = folder / "wide"
    source.mkdir()
    random = np.random.default_rng(0)
    for index in range(5):
        rows = int(options.gigabytes * 1e9) // 8192
        data = pa.FixedSizeListArray.from_arrays(pa.array(random.random(rows * 1024)), 1024)
        table = pa.table({"data": data})
        pq.write_table(table, source / f"train-{index}.parquet", row_group_size=1000)
    asset = import_asset(source, quiet=True)
    shutil.rmtree(source)
    for label in ("made into Arrow, then mapped", "mapped"):
        command = [sys.executable, "-c", LOAD, asset.folder]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        print(f"load {asset.manifest.size / 1e9:.1f} GB, {label}: {shown.strip()}", flush=True)


MEASURES = {
    "pull": measure_pull,
    "verify": measure_verify,
    "again": measure_again,
    "disk": measure_disk,
    "load": measure_load,
}


if __name__ == "__main__":
    main()
