"""Batches: every example once an epoch, and a position that can be saved and restored."""

import json
import random
import tracemalloc
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Array2D, Dataset, DatasetDict, Features, List, Value, concatenate_datasets
from hypothesis import assume, given
from hypothesis import strategies as st
from research_data import Batches, StatefulDataLoader


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
        ((torch.zeros(3),), 4, True, "3 examples.*4"),
    ],
)
def test_data_that_cannot_be_cut_into_batches_is_refused(data, size, drop, message):
    with pytest.raises(ValueError, match=message):
        Batches(data, size, drop_last=drop)


def test_a_position_in_other_data_is_refused():
    state = Batches(numbers(7), 3).state_dict()
    with pytest.raises(ValueError, match=r"7 examples.*\b8"):
        Batches(numbers(8), 3).load_state_dict(state)
    with pytest.raises(ValueError, match=r"data .*'\w+'.*'\w+'"):
        Batches(Pair(torch.arange(7), torch.arange(7)), 3).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 4}, "batch_size was 3, is 4"),
        ({"shuffle": True}, "shuffle .*False.*True"),
        ({"seed": 5, "drop_last": True}, "seed .*0.*5; drop_last .*False.*True"),
    ],
)
def test_a_position_in_another_order_is_refused(options, message):
    state = Batches(numbers(7), 3).state_dict()
    other = Batches(numbers(7), **{"batch_size": 3, **options})
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(state)
    assert (other.epoch, other.position) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"position": 4}, r"batch 4 of epoch 0.*\b3\b"),
        ({"position": -1}, "batch -1"),
        ({"epoch": -1}, "epoch -1"),
    ],
)
def test_a_position_that_cannot_be_is_refused(change, message):
    batches = Batches(numbers(7), 3)
    with pytest.raises(ValueError, match=message):
        batches.load_state_dict({**batches.state_dict(), **change})
    with pytest.raises(ValueError, match="no epoch, position"):
        batches.load_state_dict({"examples": 7})


def test_a_state_from_before_there_was_more_in_it_is_taken():
    batches = Batches(numbers(7), 3)
    batches.load_state_dict({"epoch": 2, "position": 1, "examples": 7})
    assert epoch(batches) == [[3, 4, 5], [6]]


def test_floats_that_differ_in_their_last_bits_are_the_same_data():
    computed = torch.rand(9)
    state = Batches((computed,), 3).state_dict()
    Batches((computed.nextafter(torch.ones(9)),), 3).load_state_dict(state)


@given(shapes, st.integers(1, 4), st.booleans())
def test_ranks_share_every_batch_and_its_state(shape, world_size, drop_last):
    examples, size, shuffle, seed = shape
    assume(examples >= size if drop_last else True)
    assume(min(size, size if drop_last else examples % size or size) >= world_size)
    options = {"shuffle": shuffle, "seed": seed, "drop_last": drop_last}
    alone = Batches(numbers(examples), size, **options)
    ranks = [
        Batches(numbers(examples), size, rank=rank, world_size=world_size, **options)
        for rank in range(world_size)
    ]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole.inputs, torch.cat([part.inputs for part in parts]))
        lengths = [len(part.inputs) for part in parts]
        assert max(lengths) - min(lengths) <= 1
        means = [
            rank.weight * part.inputs.double().mean().item()
            for rank, part in zip(ranks, parts, strict=True)
        ]
        assert np.mean(means) == pytest.approx(whole.inputs.double().mean().item())
        assert all(rank.state_dict() == alone.state_dict() for rank in ranks)


@given(shapes, st.integers(1, 4), st.integers(1, 4), st.data())
def test_a_state_of_some_processes_resumes_on_any_number(shape, before, after, data):
    examples, size, shuffle, seed = shape
    assume(min(size, examples % size or size) >= max(before, after))
    make = lambda: Batches(numbers(examples), size, shuffle=shuffle, seed=seed)  # noqa: E731
    whole = epoch(make())
    stop = data.draw(st.integers(0, len(whole)))
    first = make().shard(before - 1, before)
    list(islice(first, stop))
    state = json.loads(json.dumps(first.state_dict()))
    ranks = [make().shard(rank, after) for rank in range(after)]
    for rank in ranks:
        rank.load_state_dict(state)
    left = [list(chain(*parts)) for parts in zip(*map(epoch, ranks), strict=True)]
    assert left == whole[stop:]


@pytest.mark.parametrize(
    ("examples", "size", "rank", "world_size", "message"),
    [
        (8, 2, 0, 3, "2 of the 8 examples.*3 processes"),
        (9, 4, 0, 2, "last batch .* 1 .* 2 processes.*drop_last=True"),
        (8, 4, 2, 2, "rank .*0 to 1.*2"),
    ],
)
def test_ranks_without_a_part_are_refused(examples, size, rank, world_size, message):
    with pytest.raises(ValueError, match=message):
        Batches(numbers(examples), size, rank=rank, world_size=world_size)


# Over Arrow

ROWS = 23
random_numbers = np.random.default_rng(0)
COLUMNS = {
    "int8": np.arange(ROWS, dtype=np.int8),
    "uint16": np.arange(ROWS, dtype=np.uint16),
    "int64": np.arange(ROWS),
    "float16": random_numbers.random(ROWS).astype(np.float16),
    "float64": random_numbers.random(ROWS),
    "bool": random_numbers.random(ROWS) < 0.5,
    "ids": random_numbers.integers(0, 9, (ROWS, 5)).astype(np.int32),
    "fixed": random_numbers.random((ROWS, 3)).astype(np.float32),
    "flags": random_numbers.random((ROWS, 3)) < 0.5,
    "image": random_numbers.integers(0, 255, (ROWS, 4, 6)).astype(np.uint8),
    "nested": random_numbers.integers(0, 9, (ROWS, 2, 3)),
}
FEATURES = Features(
    {
        **{name: Value(name) for name in ("int8", "uint16", "int64", "float16", "float64", "bool")},
        "ids": List(Value("int32")),
        "fixed": List(Value("float32"), length=3),
        "flags": List(Value("bool")),
        "image": Array2D((4, 6), "uint8"),
        "nested": List(List(Value("int64"))),
    }
)
whole_table = Dataset.from_dict(
    {name: column.tolist() for name, column in COLUMNS.items()}, features=FEATURES
)


def written(folder, chunk):
    """The same rows, mapped from a file with chunk rows a record batch."""
    path = str(folder / f"{chunk}.arrow")
    whole_table.map(cache_file_name=path, writer_batch_size=chunk, new_fingerprint=f"chunks{chunk}")
    return Dataset.from_file(path)


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrow")
    mapped = [written(folder, chunk) for chunk in (1, 7, 1000)]
    parts = [
        mapped[1].select(range(4)),
        mapped[0].select(range(4, 9)),
        whole_table.select(range(9, ROWS)),
    ]
    return [whole_table, *mapped, concatenate_datasets(parts)]


def test_rows_from_arrow_are_those_of_plain_indexing(layouts):
    assert {len(data.data.column("ids").chunks) for data in layouts} >= {ROWS, 4, 1}
    for data in layouts:
        for chosen in (
            data,
            data.select(range(3, 20)),
            data.select([5, 0, 5, 22]),
            data.shuffle(1),
        ):
            rows = chosen["int64"][:]
            batches = Batches.from_arrow(chosen, list(COLUMNS), 4, shuffle=True, seed=3)
            order = next(iter(Batches((torch.tensor(rows),), len(rows), shuffle=True, seed=3)))[0]
            got = [torch.cat(field) for field in zip(*batches, strict=True)]
            for name, field in zip(COLUMNS, got, strict=True):
                expected = torch.from_numpy(COLUMNS[name])
                assert field.dtype == expected.dtype
                np.testing.assert_array_equal(field.numpy(), expected.numpy()[order.numpy()])


@given(st.data())
def test_any_chunks_and_slices_give_the_same_rows(data):
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=6))
    values = np.arange(sum(lengths) * 3, dtype=np.int16).reshape(-1, 3)
    assume(len(values) > 0)
    pieces = np.split(values, np.cumsum(lengths)[:-1])
    kind = data.draw(st.sampled_from([pa.list_(pa.int16()), pa.list_(pa.int16(), 3)]))
    column = pa.chunked_array([pa.array(piece.tolist(), kind) for piece in pieces], kind)
    start = data.draw(st.integers(0, len(values) - 1))
    table = pa.table({"x": column}).slice(start)
    batches = Batches.from_arrow(table, ["x"], data.draw(st.integers(1, 9)))
    got = torch.cat([batch.x for batch in batches])
    np.testing.assert_array_equal(got.numpy(), values[start:])


def test_chunks_whose_numbers_do_not_line_up_are_read_as_well():
    values = np.arange(12, dtype=np.int32)
    memory = bytes(3) + values.tobytes() + bytes(2) + values.tobytes()
    chunks = [
        pa.Array.from_buffers(pa.int32(), 12, [None, pa.py_buffer(memory).slice(start)])
        for start in (3, 3 + values.nbytes + 2)
    ]
    [batch] = Batches.from_arrow(pa.table({"x": pa.chunked_array(chunks)}), ["x"], 24)
    assert batch.x.tolist() == values.tolist() * 2


def test_no_copy_of_the_data_is_made():
    chunk = pa.array(list(np.zeros((1000, 250), np.int32)), pa.list_(pa.int32()))
    table = pa.table({"x": pa.chunked_array([chunk] * 4)})
    next(iter(Batches.from_arrow(table, ["x"], 10, shuffle=True)))  # what it imports is no copy
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    for _ in Batches.from_arrow(table, ["x"], 10, shuffle=True):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak + pa.total_allocated_bytes() - before < table.nbytes / 10


def test_batches_from_arrow_are_named_and_of_a_class_that_is_given():
    class Tokens(NamedTuple):
        ids: torch.Tensor
        int64: torch.Tensor

    [batch] = Batches.from_arrow(whole_table, Tokens, ROWS)
    assert isinstance(batch, Tokens)
    np.testing.assert_array_equal(batch.ids.numpy(), COLUMNS["ids"])
    [batch] = Batches.from_arrow(whole_table, ["int64", "fixed"], ROWS)
    assert batch._fields == ("int64", "fixed")


def test_a_batch_from_arrow_can_be_written_to(layouts):
    batches = Batches.from_arrow(layouts[-2], ["ids"], ROWS)
    [batch] = batches
    batch.ids.zero_()
    [again] = batches
    np.testing.assert_array_equal(again.ids.numpy(), COLUMNS["ids"])


def test_batches_from_arrow_resume_on_the_same_content_only(layouts):
    first = Batches.from_arrow(layouts[1], ["ids"], 5, shuffle=True)
    taken = [batch.ids for batch in islice(first, 2)]
    second = Batches.from_arrow(layouts[2], ["ids"], 5, shuffle=True)  # in other chunks
    second.load_state_dict(first.state_dict())
    taken += [batch.ids for batch in second]
    through = [batch.ids for batch in Batches.from_arrow(layouts[0], ["ids"], 5, shuffle=True)]
    assert all(map(torch.equal, taken, through))
    for other in (
        Batches.from_arrow(layouts[1].shuffle(2), ["ids"], 5, shuffle=True),
        Batches.from_arrow(layouts[1], ["fixed"], 5, shuffle=True),
    ):
        with pytest.raises(ValueError, match="other data"):
            other.load_state_dict(first.state_dict())


def test_data_that_does_not_fit_a_device_is_moved_batch_by_batch(layouts):
    meta = torch.device("meta")  # holds nothing, so nothing is said to fit
    batches = Batches.from_arrow(layouts[1], ["ids"], 5, shuffle=True).to(meta)
    assert {batch.ids.device for batch in batches} == {meta}
    batches.to(torch.device("cpu"))
    assert {batch.ids.device.type for batch in batches} == {"cpu"}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([1, None]), "'x' has nulls"),
        (pa.array([[1], None]), "'x' has nulls"),
        (pa.array([[1], [None]]), "'x' has nulls"),
        (pa.array([[1], [2, 3, 4]]), r"'x' .*1 to 3 items"),
        (pa.chunked_array([[[1]], [[2, 3]]]), r"'x' .*1 to 2 items"),
        (pa.chunked_array([[[[1]]], [[[2, 3]]]]), r"'x' .*1 to 2 items"),
        (pa.chunked_array([[1, 2], [3, None]]), "'x' has nulls"),
        (pa.array(["a", "b"]), "'x' .*string.*tokenize_dataset"),
        (pa.array([{"a": 1}, {"a": 2}]), "'x' .*struct"),
        (pa.array([[], []], pa.list_(pa.int32())), "'x' .*empty lists"),
        (pa.array([], pa.int32()), "0 examples"),
    ],
)
def test_a_column_that_cannot_become_a_tensor_is_refused_with_its_name(column, message):
    with pytest.raises(ValueError, match=message):
        Batches.from_arrow(pa.table({"x": column}), ["x"], 1)


def test_rows_that_were_filtered_out_are_checked_until_flatten_indices_drops_them():
    data = Dataset.from_dict({"x": [[1, 2], [3], [4, 5]]}).filter(lambda row: len(row["x"]) == 2)
    with pytest.raises(ValueError, match=r"'x' .*1 to 2 items.*flatten_indices\(\)"):
        Batches.from_arrow(data, ["x"], 2)
    [batch] = Batches.from_arrow(data.flatten_indices(), ["x"], 2)
    assert batch.x.tolist() == [[1, 2], [4, 5]]


def test_missing_columns_and_a_dataset_of_several_splits_are_refused():
    with pytest.raises(ValueError, match=r"tokens.*int8, uint16"):
        Batches.from_arrow(whole_table, ["ids", "tokens"], 1)
    with pytest.raises(ValueError, match=r"split.*train"):
        Batches.from_arrow(DatasetDict(train=whole_table), ["ids"], 1)
    with pytest.raises(ValueError, match="name the columns"):
        Batches.from_arrow(whole_table, [], 1)


# Through a DataLoader


class Augmented:
    """Examples that are different at every look, by each of the generators."""

    def __len__(self):
        return 11

    def __getitem__(self, index):
        return torch.tensor([index, random.random(), np.random.rand(), torch.rand(1).item()])


def noisy(examples):
    return (torch.stack(examples) + torch.rand(1), torch.tensor(len(examples)))


def augmented(workers, **options):
    options = {"shuffle": True, "seed": 4, "collate_fn": noisy, **options}
    return StatefulDataLoader(Augmented(), 3, num_workers=workers, **options)


def same(batches, others):
    return len(batches) == len(others) and all(
        torch.equal(batch[0], other[0]) for batch, other in zip(batches, others, strict=True)
    )


def everything(source, epochs=2):
    return [batch for _ in range(epochs) for batch in source]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_dataloader_gives_the_batches_of_one_never_stopped(workers):
    through = everything(augmented(0))
    assert same(everything(augmented(workers)), through)
    assert not same(through[:4], through[4:])
    for stop in (0, 1, 3, 4):
        first, second = augmented(2 - workers), augmented(workers)
        taken = list(islice(first, stop))
        second.load_state_dict(json.loads(json.dumps(first.state_dict())))
        assert same(taken + everything(second), through[: len(taken)] + through[stop:])
        assert (second.epoch, second.position, len(second)) == (2, 0, 4)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataloader_broken_off_goes_on_where_it_stood(workers):
    loader = augmented(workers)
    taken = [*islice(loader, 2), *islice(loader, 1), *everything(loader)]
    assert same(taken, everything(augmented(0)))


def test_a_resumed_dataloader_reads_only_what_is_left():
    looked_at = []

    class Watched(Augmented):
        def __getitem__(self, index):
            looked_at.append(index)
            return super().__getitem__(index)

    loader = StatefulDataLoader(Watched(), 3)
    loader.load_state_dict({**loader.state_dict(), "position": 2})
    list(loader)
    assert looked_at == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_dataloader_leaves_the_trainings_generators_alone(workers):
    def state():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    before = state()
    everything(augmented(workers))
    assert state() == before


def test_ranks_of_a_dataloader_augment_as_one_process_does():
    options = {"collate_fn": torch.utils.data.default_collate, "drop_last": True}
    ranks = [augmented(0, rank=rank, world_size=2, **options) for rank in range(2)]
    for whole, *parts in zip(augmented(0, **options), *ranks, strict=True):
        assert torch.equal(whole, torch.cat(parts))
    assert ranks[0].state_dict() == ranks[1].state_dict()


def test_batches_of_dicts_are_moved_and_a_dataset_reads_them_whole():
    data = whole_table.select_columns(["ids", "int64"]).with_format("torch")
    loader = StatefulDataLoader(data, 10).to(torch.device("meta"))
    assert [batch["ids"].shape for batch in loader] == [(10, 5), (10, 5), (3, 5)]
    assert {batch["int64"].device.type for batch in loader} == {"meta"}


def test_a_stream_without_a_length_is_refused():
    with pytest.raises(ValueError, match="has no length"):
        StatefulDataLoader(iter([1, 2]), 1)
