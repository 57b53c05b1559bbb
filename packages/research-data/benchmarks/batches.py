"""What a shuffled batch from Arrow costs, against a DataLoader over the same dataset.

    uv run python packages/research-data/benchmarks/batches.py [--repeats 5] [--rows 50000]

50,000 rows of 384 int32 and a label, as `datasets` writes them (1,000 rows a record batch), mapped
from a file; batches of 32, one thread, one process. All loaders run in turn, each first in turn; a
ratio is taken from the loaders of one round. The first round warms up and counts for nothing.

- format: DataLoader over with_format("torch"), as its documentation says
- fetched: the same, each batch read at once (a BatchSampler as its sampler)
- StatefulDataLoader: ours, over the same, every batch seeded
- Batches: Batches.from_arrow
- bare: indexing one tensor of the whole in memory, the floor
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter
from research_data import Batches, StatefulDataLoader
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

WIDTH, BATCH = 384, 32


def make_dataset(folder: Path, rows: int) -> Dataset:
    tokens = np.random.default_rng(0).integers(0, 30_000, (rows, WIDTH), dtype=np.int32)
    features = Features({"input_ids": List(Value("int32")), "label": Value("int64")})
    path = str(folder / "data.arrow")
    with ArrowWriter(path=path, features=features) as writer:
        for start in range(0, rows, 1000):
            part = tokens[start : start + 1000]
            writer.write_batch({"input_ids": list(part), "label": list(range(len(part)))})
        writer.finalize()
    return Dataset.from_file(path)


def bare(tokens: torch.Tensor) -> Iterable[torch.Tensor]:
    order = torch.randperm(len(tokens))
    for start in range(0, len(order), BATCH):
        yield tokens.index_select(0, order[start : start + BATCH])


def seconds(batches: Iterable[object]) -> float:
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=50_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = make_dataset(Path(folder), options.rows).select_columns("input_ids")
        torch_data = data.with_format("torch")
        sampler = BatchSampler(RandomSampler(data), BATCH, drop_last=False)
        began = time.perf_counter()
        ours = Batches.from_arrow(data, ["input_ids"], BATCH, shuffle=True)
        print(f"from_arrow: {time.perf_counter() - began:.3f} s, once")
        whole = torch.from_numpy(data.with_format("numpy")[:]["input_ids"])
        stateful = StatefulDataLoader(torch_data, BATCH, shuffle=True)
        loaders: dict[str, Callable[[], Iterable[object]]] = {
            "format": lambda: DataLoader(torch_data, BATCH, shuffle=True),
            "fetched": lambda: DataLoader(torch_data, batch_size=None, sampler=sampler),
            "StatefulDataLoader": lambda: stateful,
            "Batches": lambda: ours,
            "bare": lambda: bare(whole),
        }
        names = list(loaders)
        times: dict[str, list[float]] = {name: [] for name in names}
        for repeat in range(options.repeats + 1):
            first = repeat % len(names)
            for name in names[first:] + names[:first]:
                took = seconds(loaders[name]())
                if repeat:
                    times[name].append(took)
    for name in names:
        rate = options.rows / statistics.median(times[name])
        ratios = [theirs / own for theirs, own in zip(times["format"], times[name], strict=True)]
        print(
            f"{name:18} {rate:>10,.0f} rows/s, {statistics.median(ratios):6.2f} x format "
            f"(min {min(ratios):.2f}, max {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
