"""Generators of synthetic datasets from the literature, in NumPy alone.

Each is for `GeneratedDataset.generate`: its arrays depend only on its keyword arguments. The text
of a public function, docstring included, is part of `GeneratedDataset.revision`: an edit renames
the data.
"""

import math
from typing import Literal

import numpy as np


def modular_arithmetic(
    modulus: int = 97,
    operation: Literal["addition", "subtraction", "multiplication", "division"] = "addition",
    train_share: float = 0.3,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Every equation a o b = c modulo `modulus`, split at random (Power et al., "Grokking",
    arXiv 2201.02177, appendix A.1.1).

    operation: a + b, a - b, a * b or a / b; 0 <= a < modulus and 0 <= b < modulus, but 0 < b for
        division, where c is the one number with b * c = a, so the modulus must be prime.
    train_share: how much of all pairs (a, b) is for training, rounded to whole pairs; the others
        are the test split. Both are in random order.

    Returns train_inputs and test_inputs, (pairs, 3) int64, the tokens [a, b, =]: numbers stand for
    themselves, `=` is `modulus`, so the vocabulary has modulus + 1 tokens. The operator, the same
    in every equation, is left out. train_targets and test_targets, (pairs,) int64: c.

    Raises ValueError for a modulus below 2 or, with division, not prime; an unknown operation;
    a train_share that leaves a split empty; a negative seed.
    """
    _at_least(2, modulus=modulus)
    _at_least(0, seed=seed)
    first, b = np.divmod(np.arange(modulus**2, dtype=np.int64), modulus)
    if operation == "addition":
        a, c = first, (first + b) % modulus
    elif operation == "subtraction":
        a, c = first, (first - b) % modulus
    elif operation == "multiplication":
        a, c = first, first * b % modulus
    elif operation == "division":
        if not _is_prime(modulus):
            raise ValueError(f"modulus must be prime for division, not {modulus}")
        first, b = first[b > 0], b[b > 0]
        a, c = first * b % modulus, first  # for each b, c -> b * c reaches every a once
    else:
        raise ValueError(
            "operation must be addition, subtraction, multiplication or division, "
            f"not {operation!r}"
        )

    share = round(train_share * len(c)) if math.isfinite(train_share) else 0
    if not 0 < share < len(c):
        raise ValueError(
            f"train_share must leave pairs to train and to test on, of {len(c)}, not {train_share}"
        )
    inputs = np.stack([a, b, np.full_like(a, modulus)], axis=1)
    order = np.random.default_rng(seed).permutation(len(c))
    train, test = order[:share], order[share:]
    return {
        "train_inputs": inputs[train],
        "train_targets": c[train],
        "test_inputs": inputs[test],
        "test_targets": c[test],
    }


def associative_recall(
    vocabulary: int = 8192,
    length: int = 64,
    pairs: int = 4,
    train_examples: int = 100_000,
    test_examples: int = 3_000,
    seed: int = 0,
    power: float = 0.01,
) -> dict[str, np.ndarray]:
    """Multi-query associative recall, MQAR (Arora et al., "Zoology", arXiv 2312.04927; the
    defaults are the smallest setting of its Figure 2).

    One example, with half = vocabulary // 2:

    - `pairs` distinct keys, uniform among the tokens 1 to half - 1, and as many distinct values,
      uniform among half to vocabulary - 1. They open the sequence: key, value, key, value, ...
    - What follows is cut into slots of two positions, numbered from 1; an odd last position is
      left over. Every key comes once more, alone, at the first position of a slot: one key after
      the other draws a slot still free, slot i with probability proportional to i ** (power - 1).
      A power of 1 is uniform; the smaller it is, the closer the queries are to the pairs.
    - Where a key comes again the target is its value. The value itself is not in the inputs
      there: what a model predicted is never shown to it.
    - Every other input after the pairs is token 0, which is neither key nor value, and every
      other target is -100, which cross entropy ignores.

    Left open by the task and taken from the authors' code (HazyResearch/zoology) with the settings
    of Figure 2: slots of two, gaps counted from the end of the pairs for every key alike, distinct
    values, token 0 as filler (their default elsewhere is random tokens), power 0.01. Not theirs:
    the random numbers, and that train and test draw from streams spawned from one seed, so that
    neither depends on the size of the other. Nothing keeps an example out of both; at the
    default vocabulary that does not happen, at a tiny one it does.

    Returns train_inputs and train_targets, (train_examples, length) int64; test_inputs and
    test_targets, (test_examples, length) int64.

    Raises ValueError for sizes below 1, a length below 4 * pairs (two positions for each pair, a
    slot for each query), a vocabulary below 2 * pairs + 2 (too few keys), a power that is not
    positive and finite, a negative seed.
    """
    _at_least(1, pairs=pairs, train_examples=train_examples, test_examples=test_examples)
    _at_least(4 * pairs, length=length)
    _at_least(2 * pairs + 2, vocabulary=vocabulary)
    _at_least(0, seed=seed)
    if not 0 < power < math.inf:
        raise ValueError(f"power must be positive and finite, not {power}")
    half = vocabulary // 2
    context = 2 * pairs
    slots = (length - context) // 2
    waits = np.arange(1, slots + 1) ** (1.0 - power)
    chunk = max(1, 2**18 // slots)  # examples at a time: the draw of the slots takes 2 MiB

    def distinct(rng: np.random.Generator, rows: int, choices: int) -> np.ndarray:
        """(rows, pairs): in each row different numbers below `choices`, any order as likely."""
        drawn = np.empty((rows, pairs), np.int64)
        for column, last in enumerate(range(choices - pairs, choices)):  # Floyd's sampling
            new = rng.integers(0, last, size=rows, endpoint=True)
            taken = (drawn[:, :column] == new[:, None]).any(axis=1)
            drawn[:, column] = np.where(taken, last, new)
        return rng.permuted(drawn, axis=1)

    def examples(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        inputs = np.zeros((count, length), np.int64)
        targets = np.full((count, length), -100, np.int64)
        for start in range(0, count, chunk):
            rows = slice(start, start + chunk)
            some = min(chunk, count - start)
            keys = 1 + distinct(rng, some, half - 1)
            values = half + distinct(rng, some, vocabulary - half)
            # Exponential waits end in the order of weighted draws without replacement.
            race = rng.standard_exponential((some, slots)) * waits
            queries = context + 2 * race.argsort(axis=1)[:, :pairs]
            inputs[rows, 0:context:2] = keys
            inputs[rows, 1:context:2] = values
            np.put_along_axis(inputs[rows], queries, keys, axis=1)
            np.put_along_axis(targets[rows], queries, values, axis=1)
        return inputs, targets

    train, test = np.random.default_rng(seed).spawn(2)
    train_inputs, train_targets = examples(train, train_examples)
    test_inputs, test_targets = examples(test, test_examples)
    return {
        "train_inputs": train_inputs,
        "train_targets": train_targets,
        "test_inputs": test_inputs,
        "test_targets": test_targets,
    }


def linear_regression_in_context(
    dimensions: int = 20,
    points: int = 41,
    train_examples: int = 10_000,
    test_examples: int = 1_000,
    noise: float = 0.0,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Prompts of a random linear function's values (Garg et al., "What can transformers learn
    in-context?", arXiv 2208.01066, section 3).

    Each example has its own weights w ~ N(0, I) and points x_i ~ N(0, I), and the targets
    y_i = w . x_i + noise * e_i with e_i ~ N(0, 1). A model reads x_1, y_1, ..., x_i and predicts
    y_i; the last of the points is a query after points - 1 known ones.

    The paper draws new prompts at every training step; here they are a fixed set, so its size
    matters and is ours to choose. The paper's curriculum of growing dimensions and lengths is not
    in the data. It adds noise only when testing (section 4); here `noise` is for both splits. The
    points and weights are the same at every noise, and neither split depends on the size of the
    other.

    Returns train_inputs, (train_examples, points, dimensions) float32; train_targets,
    (train_examples, points) float32; test_inputs and test_targets likewise; test_weights,
    (test_examples, dimensions) float32: w. Targets are computed in double precision, then rounded.

    Raises ValueError for sizes below 1, a noise that is negative or not finite, a negative seed.
    """
    _at_least(1, dimensions=dimensions, points=points)
    _at_least(1, train_examples=train_examples, test_examples=test_examples)
    _at_least(0, seed=seed)
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise must be finite and not negative, not {noise}")

    def examples(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        weights = rng.standard_normal((count, dimensions), np.float32)
        inputs = rng.standard_normal((count, points, dimensions), np.float32)
        targets = np.einsum("epd,ed->ep", inputs, weights, dtype=np.float64)
        if noise:
            targets += noise * rng.standard_normal((count, points))
        return inputs, targets.astype(np.float32), weights

    train, test = np.random.default_rng(seed).spawn(2)
    train_inputs, train_targets, _ = examples(train, train_examples)
    test_inputs, test_targets, test_weights = examples(test, test_examples)
    return {
        "train_inputs": train_inputs,
        "train_targets": train_targets,
        "test_inputs": test_inputs,
        "test_targets": test_targets,
        "test_weights": test_weights,
    }


def _at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % factor for factor in range(2, math.isqrt(number) + 1))
