"""The plays as numbers: the first nine tenths to train on, the rest to validate."""

from pathlib import Path
from typing import NamedTuple

import torch
from research_data import AssetError
from torch import Tensor

Windows = tuple[Tensor, Tensor]  # characters and those that follow them, (windows, context) each


class Text(NamedTuple):
    """A text as numbers of its sorted characters, (length,), and these characters."""

    numbers: Tensor
    characters: str


def load_text(file: Path) -> Text:
    """Read a text. Raises AssetError if it is empty."""
    text = file.read_text(encoding="utf-8")
    if not text:
        raise AssetError(f"{file}: is empty")
    characters = "".join(sorted(set(text)))
    number = {character: index for index, character in enumerate(characters)}
    return Text(torch.tensor([number[character] for character in text]), characters)


def windows(numbers: Tensor, context: int) -> tuple[Windows, Windows]:
    """Every window of the training part, and those of the validation part without overlap.

    Raises AssetError if a part is shorter than a window.
    """
    first = int(0.9 * len(numbers))
    parts = numbers[:first], numbers[first:]
    if min(map(len, parts)) <= context:
        raise AssetError(f"{len(numbers)} characters are too few for windows of {context}")
    every, apart = parts[0].unfold(0, context + 1, 1), parts[1].unfold(0, context + 1, context)
    return (every[:, :-1], every[:, 1:]), (apart[:, :-1], apart[:, 1:])
