"""Batches: every example once an epoch, and a position that can be saved and restored."""

from itertools import chain
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from research_data import Batches


class Pair(NamedTuple):
    inputs: torch.Tensor
    targets: torch.Tensor


def numbers(examples):
    return Pair(torch.arange(examples), torch.arange(examples) * 10)


def epoch(batches):
    return [batch.inputs.tolist() for batch in batches]


shapes = st.tuples(st.integers(1, 40), st.integers(1, 12), st.booleans(), st.integers(0, 5))


@given(shapes)
def test_every_example_comes_once_an_epoch(shape):
    examples, size, shuffle, seed = shape
    batches = Batches(numbers(examples), size, shuffle=shuffle, seed=seed)
    for _ in range(2):
        got = epoch(batches)
        assert sorted(chain.from_iterable(got)) == list(range(examples))
        assert len(got) == len(batches)
        assert {len(batch) for batch in got[:-1]} <= {size}


@given(shapes, st.data())
def test_a_restored_position_goes_on_with_the_same_batches(shape, data):
    examples, size, shuffle, seed = shape
    make = lambda: Batches(numbers(examples), size, shuffle=shuffle, seed=seed)  # noqa: E731
    through = make()
    whole = [batch for _ in range(3) for batch in epoch(through)]
    stop = data.draw(st.integers(0, len(whole)))
    first = make()
    taken = []
    while len(taken) < stop:
        for batch in first:
            taken.append(batch.inputs.tolist())
            if len(taken) == stop:
                break
    second = make()
    second.load_state_dict(first.state_dict())
    while len(taken) < len(whole):
        taken += epoch(second)
    assert taken[: len(whole)] == whole


def test_the_order_is_new_every_epoch_and_depends_on_the_seed():
    batches = Batches(numbers(50), 50, shuffle=True, seed=1)
    first, second = epoch(batches), epoch(batches)
    assert first != second
    assert first == epoch(Batches(numbers(50), 50, shuffle=True, seed=1))
    assert first != epoch(Batches(numbers(50), 50, shuffle=True, seed=2))


def test_order_draws_nothing_from_torchs_own_generator():
    before = torch.get_rng_state()
    epoch(Batches(numbers(50), 7, shuffle=True))
    assert torch.equal(before, torch.get_rng_state())


def test_batches_keep_the_type_and_belong_together():
    for batch in Batches(numbers(9), 4, shuffle=True):
        assert isinstance(batch, Pair)
        assert torch.equal(batch.targets, batch.inputs * 10)
    plain = next(iter(Batches((torch.arange(3),), 2)))
    assert type(plain) is tuple


def test_the_last_small_batch_can_be_dropped():
    assert epoch(Batches(numbers(7), 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("data", "size", "drop", "message"),
    [
        ((torch.zeros(3), torch.zeros(4)), 1, False, "differ in length"),
        ((torch.zeros(3),), 0, False, "must be positive"),
        ((torch.zeros(0),), 1, False, "0 examples"),
        ((torch.zeros(3),), 4, True, "3 examples make no batch of 4"),
    ],
)
def test_what_makes_no_batches_is_refused(data, size, drop, message):
    with pytest.raises(ValueError, match=message):
        Batches(data, size, drop_last=drop)


def test_a_position_in_other_data_is_refused():
    state = Batches(numbers(7), 3).state_dict()
    with pytest.raises(ValueError, match="7 examples, here are 8"):
        Batches(numbers(8), 3).load_state_dict(state)
