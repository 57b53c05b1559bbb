"""What a sweep varies: config keys with their values, and the seeds of every setting."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from research_data.errors import UsageError

MOST_SETTINGS = 10_000  # of a grid


@dataclass(frozen=True)
class Choices:
    """A list of values. words: each as `train` takes it."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """All numbers from low to high, both included. integer: whole numbers only."""

    low: float
    high: float
    logarithmic: bool
    integer: bool

    def number(self, word: str) -> int | float:
        """The value of a word."""
        return int(word) if self.integer else float(word)

    def word(self, value: float) -> str:
        """A value as `train` takes it."""
        return str(int(value)) if self.integer else repr(float(value))


Dimension = Choices | Range


@dataclass(frozen=True)
class Space:
    """What a sweep varies.

    dimensions: config key -> its values. fixed: `key=value` words for all runs. seeds: every
    setting is trained with each of them.
    """

    dimensions: dict[str, Dimension]
    fixed: tuple[str, ...]
    seeds: tuple[int, ...]

    def settings(self) -> Iterator[dict[str, str]]:
        """Key -> word of every setting of a grid, in the order of the keys. Raises UsageError."""
        lists = {key: _listed(key, each) for key, each in self.dimensions.items()}
        if (count := math.prod(map(len, lists.values()))) > MOST_SETTINGS:
            raise UsageError(
                f"this grid has {count:,} settings, and at most {MOST_SETTINGS:,} are trained. "
                "List fewer values, or use --sampler random with --trials N"
            )
        for words in itertools.product(*lists.values()):
            yield dict(zip(lists, words, strict=True))

    @property
    def is_listed(self) -> bool:
        """Whether every key has a list of values, so that a grid is possible."""
        return all(isinstance(each, Choices) for each in self.dimensions.values())


def words_of(setting: Mapping[str, str]) -> list[str]:
    """A setting as `key=value` words."""
    return [f"{key}={word}" for key, word in setting.items()]


def _listed(key: str, dimension: Dimension) -> tuple[str, ...]:
    if isinstance(dimension, Choices):
        return dimension.words
    low, high = (dimension.word(each) for each in (dimension.low, dimension.high))
    if dimension.integer and dimension.high - dimension.low < MOST_SETTINGS:
        return tuple(map(str, range(int(low), int(high) + 1)))
    raise UsageError(
        f"{key}={low}..{high}: a grid needs a list of values. Write how many: "
        f"{key}={low}..{high}:4, or use --sampler random"
    )
