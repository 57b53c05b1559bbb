"""Divide the GPUs of this machine between trainings: each its own, by CUDA_VISIBLE_DEVICES."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from research_train.errors import CommandError
from research_train.processes.children import output_of

VARIABLE = "CUDA_VISIBLE_DEVICES"
ANY = ("auto", "cuda")  # values of the config's `device` that leave it open which GPU is used
PATIENCE = 60.0  # seconds for nvidia-smi, which may have to wake the GPUs
_LISTED = re.compile(r"\(UUID: ((?:GPU|MIG)-[^)\s]+)\)")


def cards_for(devices: Iterable[str]) -> list[str]:
    """The GPUs to divide between trainings, as CUDA_VISIBLE_DEVICES names them.

    devices: what their configs call `device`. None are divided where one of them names its own
    GPU, as `cuda:1`, or all train on the CPU.
    """
    named = {*devices} - {"cpu"}
    return visible_cards() if named and named.issubset(ANY) else []


def visible_cards() -> list[str]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES, else all that are listed.

    nvidia-smi lists them: torch would take seconds to import, and hold memory on a card.
    """
    said = os.environ.get(VARIABLE)
    if said is not None:  # of which CUDA ignores what follows one that is none, as `-1`
        named = takewhile(lambda each: each not in ("", "-1"), map(str.strip, said.split(",")))
        return list(dict.fromkeys(named))
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        return listed_cards(output_of(["nvidia-smi", "--list-gpus"], patience=PATIENCE).decode())
    except CommandError:  # its driver doesn't work: torch then sees no GPU either
        return []


def listed_cards(lines: str) -> list[str]:
    """The ids in what `nvidia-smi --list-gpus` prints; of a GPU that is divided, its parts."""
    found: list[str] = []
    for name in _LISTED.findall(lines):
        if name.startswith("MIG") and found and found[-1].startswith("GPU"):
            found.pop()
        found.append(name)
    return found


def least_used(cards: Sequence[str], in_use: Iterable[str | None]) -> str | None:
    """The card that the fewest of those in use are, the first of several; None without cards."""
    number = Counter(in_use)
    return min(cards, key=lambda each: number[each], default=None)


def on_card(environment: Mapping[str, str], card: str | None) -> dict[str, str]:
    """An environment in which a process sees this card alone."""
    return {**environment, **({} if card is None else {VARIABLE: card})}
