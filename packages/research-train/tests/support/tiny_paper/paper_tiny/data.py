import numpy as np
from research_data import GeneratedDataset


def generate(examples: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(2, size=examples)
    points = random.normal(size=(examples, 4)) + 2.0 * targets[:, None]
    return {"inputs": points.astype(np.float32), "targets": targets}


POINTS = GeneratedDataset(
    name="tiny-points",
    generate=generate,
    package="numpy",
    licence="CC0-1.0",
    arguments={"examples": 50, "seed": 0},
)
