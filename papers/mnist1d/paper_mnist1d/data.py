"""The dataset (section 3): ten digits drawn as one-dimensional sequences of 40 points."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from research_data import GeneratedDataset, load_arrays
from torch import Tensor

CLASSES = [str(digit) for digit in range(10)]

# Where each point of a shuffled sequence comes from (Table 1): the authors' own order.
SHUFFLED_ORDER = torch.from_numpy(np.random.RandomState(42).permutation(40))


class Examples(NamedTuple):
    """inputs: (examples, 40) float32. targets: (examples,) int64."""

    inputs: Tensor
    targets: Tensor


class Data(NamedTuple):
    """Training and test examples."""

    train: Examples
    test: Examples


def generate(label_noise: float, **arguments: object) -> dict[str, np.ndarray]:
    """The authors' own generator; deterministic, it seeds itself.

    label_noise: share of the training labels that are drawn anew, the old one included, with the
    random numbers that follow the generator's, as in their notebook (section 5.2).
    """
    from mnist1d.data import make_dataset  # Matplotlib and SciPy: only to make the data
    from mnist1d.utils import ObjectView

    made = make_dataset(ObjectView(arguments))
    for example in range(len(made["y"])):
        if np.random.random_sample() < label_noise:
            made["y"][example] = np.random.randint(0, 10)
    return {
        "train_inputs": made["x"].astype(np.float32),
        "train_targets": made["y"].astype(np.int64),
        "test_inputs": made["x_test"].astype(np.float32),
        "test_targets": made["y_test"].astype(np.int64),
    }


# The authors' defaults (Table 2), which give their frozen dataset: 4,000 and 1,000 examples.
DEFAULTS: dict[str, int | float | list[int]] = {
    "num_samples": 5000,
    "train_split": 0.8,
    "template_len": 12,
    "padding": [36, 60],
    "scale_coeff": 0.4,
    "max_translation": 48,
    "corr_noise_scale": 0.25,
    "iid_noise_scale": 2e-2,
    "shear_scale": 0.75,
    "shuffle_seq": False,
    "final_seq_length": 40,
    "seed": 42,
    "label_noise": 0.0,
}

MNIST1D = GeneratedDataset(
    name="mnist1d",
    generate=generate,
    package="mnist1d",
    licence="Apache-2.0",
    arguments=DEFAULTS,
)

NOISY_MNIST1D = GeneratedDataset(  # 4,000 and 12,000 examples (section 5.2)
    name="mnist1d-noisy",
    generate=generate,
    package="mnist1d",
    licence="Apache-2.0",
    arguments=DEFAULTS | {"num_samples": 16_000, "train_split": 0.25, "label_noise": 0.15},
)


def load_mnist1d(folder: Path, shuffled: bool = False) -> Data:
    """The dataset as tensors, from its folder under assets.

    shuffled: the 40 points of every sequence in another order, the same for all.
    """
    arrays = {name: torch.from_numpy(array) for name, array in load_arrays(folder).items()}
    if shuffled:
        for name in ("train_inputs", "test_inputs"):
            arrays[name] = arrays[name][:, SHUFFLED_ORDER]
    return Data(
        train=Examples(arrays["train_inputs"], arrays["train_targets"]),
        test=Examples(arrays["test_inputs"], arrays["test_targets"]),
    )
