"""Generators: the arithmetic, the recall and the regression are what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from research_data import GeneratedDataset, load_arrays, make_dataset
from research_data.generated.literature import (
    associative_recall,
    linear_regression_in_context,
    modular_arithmetic,
)

SMALL = {
    modular_arithmetic: {"modulus": 7},
    associative_recall: {"vocabulary": 30, "length": 20, "train_examples": 9, "test_examples": 5},
    linear_regression_in_context: {
        "dimensions": 3,
        "points": 4,
        "train_examples": 9,
        "test_examples": 5,
    },
}
PRIMES = [3, 5, 7, 11, 13, 17, 19, 23]
HOLDS = {
    "addition": lambda a, b, c, p: (a + b) % p == c,
    "subtraction": lambda a, b, c, p: (a - b) % p == c,
    "multiplication": lambda a, b, c, p: a * b % p == c,
    "division": lambda a, b, c, p: b * c % p == a,
}


@st.composite
def arithmetics(draw):
    operation = draw(st.sampled_from(sorted(HOLDS)))
    modulus = draw(st.sampled_from(PRIMES) if operation == "division" else st.integers(2, 24))
    return {
        "modulus": modulus,
        "operation": operation,
        "train_share": draw(st.floats(0.2, 0.8)),
        "seed": draw(st.integers(0, 2**32)),
    }


@given(arithmetics())
def test_every_equation_is_true_and_comes_once(arguments):
    modulus, operation = arguments["modulus"], arguments["operation"]
    made = modular_arithmetic(**arguments)
    pairs = []
    for split in "train", "test":
        inputs, targets = made[f"{split}_inputs"], made[f"{split}_targets"]
        assert inputs.dtype == targets.dtype == np.int64
        for (a, b, equals), c in zip(inputs.tolist(), targets.tolist(), strict=True):
            assert HOLDS[operation](a, b, c, modulus)
            assert 0 <= c < modulus
            assert equals == modulus
            pairs.append((a, b))
    divisors = range(operation == "division", modulus)
    assert sorted(pairs) == [(a, b) for a in range(modulus) for b in divisors]
    assert len(made["train_inputs"]) == round(arguments["train_share"] * len(pairs))


@st.composite
def recalls(draw):
    pairs = draw(st.integers(1, 6))
    return {
        "pairs": pairs,
        "length": draw(st.integers(4 * pairs, 4 * pairs + 9)),
        "vocabulary": draw(st.integers(2 * pairs + 2, 2 * pairs + 40)),
        "power": draw(st.floats(0.01, 2)),
        "train_examples": 20,
        "test_examples": 3,
        "seed": draw(st.integers(0, 2**32)),
    }


@given(recalls())
def test_each_key_comes_again_once_and_its_value_is_the_target_there(arguments):
    context, half = 2 * arguments["pairs"], arguments["vocabulary"] // 2
    made = associative_recall(**arguments)
    for split in "train", "test":
        inputs, targets = made[f"{split}_inputs"], made[f"{split}_targets"]
        assert inputs.dtype == targets.dtype == np.int64
        assert inputs.shape == (arguments[f"{split}_examples"], arguments["length"])
        for tokens, answers in zip(inputs.tolist(), targets.tolist(), strict=True):
            keys, values = tokens[0:context:2], tokens[1:context:2]
            assert len(set(keys)) == len(set(values)) == arguments["pairs"]
            assert all(0 < key < half for key in keys)
            assert all(half <= value < arguments["vocabulary"] for value in values)
            value_of = dict(zip(keys, values, strict=True))
            later = tokens[context:]
            assert sorted(filter(None, later)) == sorted(keys)
            assert answers == [-100] * context + [value_of.get(token, -100) for token in later]


@pytest.mark.parametrize("power", [0.01, 1.0])
def test_queries_follow_the_power_law(power):
    made = associative_recall(
        vocabulary=4, length=22, pairs=1, power=power, train_examples=40_000, test_examples=1
    )
    seen = (made["train_inputs"] != 0)[:, 2:].sum(axis=0)
    weights = np.arange(1, 11) ** (power - 1)
    expected = 40_000 * weights / weights.sum()
    assert not seen[1::2].any()
    np.testing.assert_array_less(np.abs(seen[::2] - expected), 5 * np.sqrt(expected))


def test_keys_are_drawn_alike():
    made = associative_recall(
        vocabulary=14, length=16, train_examples=30_000, test_examples=1
    )  # four of the keys 1 to 6
    for column in range(0, 8, 2):
        seen = np.bincount(made["train_inputs"][:, column])[1:]
        np.testing.assert_array_less(np.abs(seen - 5_000), 5 * np.sqrt(5_000))


def test_examples_made_in_several_chunks_are_whole_and_different():
    made = associative_recall(length=1_000, train_examples=1_200, test_examples=1)
    inputs, targets = made["train_inputs"], made["train_targets"]
    assert ((inputs != 0).sum(axis=1) == 12).all()
    assert ((targets != -100).sum(axis=1) == 4).all()
    assert len(np.unique(inputs, axis=0)) == 1_200


@pytest.mark.parametrize("generate", [associative_recall, linear_regression_in_context])
def test_a_split_does_not_depend_on_the_size_of_the_other(generate):
    made = generate(**SMALL[generate])
    more = generate(**SMALL[generate] | {"train_examples": 30})
    np.testing.assert_array_equal(made["test_inputs"], more["test_inputs"])
    np.testing.assert_array_equal(made["test_targets"], more["test_targets"])
    assert not np.array_equal(made["test_inputs"], made["train_inputs"][:5])


def test_least_squares_recovers_the_weights():
    made = linear_regression_in_context(test_examples=50, train_examples=1)
    for inputs, targets, weights in zip(
        made["test_inputs"], made["test_targets"], made["test_weights"], strict=True
    ):
        fitted = np.linalg.lstsq(inputs.astype(np.float64), targets, rcond=None)[0]
        np.testing.assert_allclose(fitted, weights, atol=1e-5)


def test_regression_is_standard_normal_and_noise_is_added_to_the_targets_alone():
    sizes = {"dimensions": 4, "points": 10, "train_examples": 2_000, "test_examples": 1_000}
    clean = linear_regression_in_context(**sizes)
    noisy = linear_regression_in_context(**sizes, noise=0.5)
    assert {array.dtype for array in noisy.values()} == {np.dtype(np.float32)}
    assert noisy["train_inputs"].shape == (2_000, 10, 4)
    assert noisy["train_targets"].shape == (2_000, 10)
    assert noisy["test_weights"].shape == (1_000, 4)
    for name in "train_inputs", "test_inputs", "test_weights":
        assert noisy[name].mean() == pytest.approx(0, abs=0.1)
        assert noisy[name].std() == pytest.approx(1, abs=0.05)
        np.testing.assert_array_equal(noisy[name], clean[name])
    for name in "train_targets", "test_targets":
        assert (noisy[name] - clean[name]).std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("generate", SMALL)
def test_the_seed_and_nothing_else_decides(generate):
    first, again, other = (generate(**SMALL[generate], seed=seed) for seed in (3, 3, 4))
    np.random.seed(0)  # the global state has no say
    assert first.keys() == again.keys() == other.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])


@pytest.mark.parametrize(
    ("generate", "bad", "message"),
    [
        (modular_arithmetic, {"modulus": 1}, "modulus.*at least 2, not 1"),
        (modular_arithmetic, {"modulus": 91, "operation": "division"}, "prime.*not 91"),
        (modular_arithmetic, {"operation": "power"}, "operation.*not 'power'"),
        (modular_arithmetic, {"train_share": 0.0}, "train_share.*not 0.0"),
        (modular_arithmetic, {"train_share": 1.0}, "train_share.*not 1.0"),
        (modular_arithmetic, {"train_share": float("nan")}, "train_share.*not nan"),
        (modular_arithmetic, {"seed": -1}, "seed.*at least 0, not -1"),
        (associative_recall, {"pairs": 0}, "pairs.*at least 1, not 0"),
        (associative_recall, {"length": 15}, "length.*at least 16, not 15"),
        (associative_recall, {"vocabulary": 9}, "vocabulary.*at least 10, not 9"),
        (associative_recall, {"power": 0.0}, "power.*positive.*not 0.0"),
        (associative_recall, {"test_examples": 0}, "test_examples.*at least 1, not 0"),
        (linear_regression_in_context, {"points": 0}, "points.*at least 1, not 0"),
        (linear_regression_in_context, {"noise": -0.1}, "noise.*finite.*not -0.1"),
        (linear_regression_in_context, {"noise": float("inf")}, "noise.*finite.*not inf"),
    ],
)
def test_bad_arguments_are_refused(generate, bad, message):
    with pytest.raises(ValueError, match=message):
        generate(**SMALL[generate] | bad)


def test_a_generated_dataset_is_made_and_verified(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    arguments = SMALL[associative_recall]
    dataset = GeneratedDataset("recall", associative_recall, arguments, "research-data", "CC0-1.0")
    folder = make_dataset(dataset)
    assert make_dataset(dataset) == folder  # verified this time
    loaded, made = load_arrays(folder), associative_recall(**arguments)
    assert loaded.keys() == made.keys()
    for name in made:
        np.testing.assert_array_equal(loaded[name], made[name])
