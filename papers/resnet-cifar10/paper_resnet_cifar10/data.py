"""CIFAR-10: 50,000 and 10,000 images of ten classes."""

from pathlib import Path

import numpy as np
import torch
from research_data import AssetError, open_dataset
from torch import Tensor

Images = tuple[Tensor, Tensor]  # (images, 3, 32, 32) uint8, and classes (images,) int64


def load_cifar10(folder: Path) -> tuple[Images, Images, list[str]]:
    """Training images, test images, the names of the classes. Raises AssetError for others."""
    dataset = open_dataset(folder)
    splits = []
    for name in ("train", "test"):
        arrays = [np.asarray(image) for image in dataset[name]["img"]]
        if shapes := {array.shape for array in arrays} - {(32, 32, 3)}:
            raise AssetError(f"{folder}: {name}: images must be 32 x 32 in colour, got {shapes}")
        images = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()
        splits.append((images, torch.tensor(list(dataset[name]["label"]))))
    return splits[0], splits[1], dataset["train"].features["label"].names
