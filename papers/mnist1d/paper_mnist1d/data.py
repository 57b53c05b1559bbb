"""The dataset (section 2.2): ten digits drawn as one-dimensional sequences of 40 points."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from research_data import GeneratedDataset, load_arrays
from torch import Tensor

CLASSES = [str(digit) for digit in range(10)]


class Examples(NamedTuple):
    """inputs: (examples, 40) float32. targets: (examples,) int64."""

    inputs: Tensor
    targets: Tensor


class Data(NamedTuple):
    """4,000 training and 1,000 test examples."""

    train: Examples
    test: Examples


def generate(**arguments: object) -> dict[str, np.ndarray]:
    """The authors' own generator; deterministic, it seeds itself."""
    from mnist1d.data import make_dataset  # Matplotlib and SciPy: only to make the data
    from mnist1d.utils import ObjectView

    made = make_dataset(ObjectView(arguments))
    return {
        "train_inputs": made["x"].astype(np.float32),
        "train_targets": made["y"].astype(np.int64),
        "test_inputs": made["x_test"].astype(np.float32),
        "test_targets": made["y_test"].astype(np.int64),
    }


MNIST1D = GeneratedDataset(
    name="mnist1d",
    generate=generate,
    package="mnist1d",
    licence="Apache-2.0",
    arguments={  # the authors' defaults, which give their frozen dataset
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
    },
)


def load_mnist1d(folder: Path) -> Data:
    """The dataset as tensors, from its folder under assets."""
    arrays = {name: torch.from_numpy(array) for name, array in load_arrays(folder).items()}
    return Data(
        train=Examples(arrays["train_inputs"], arrays["train_targets"]),
        test=Examples(arrays["test_inputs"], arrays["test_targets"]),
    )
