"""Trainings beside each other get a GPU each: what they see of CUDA_VISIBLE_DEVICES."""

from itertools import pairwise

import pytest
from research_train.processes.cards import cards_for, least_used, listed_cards, visible_cards
from tiny_claims import MARKED, POINTS, SOURCE

VARIABLE = "CUDA_VISIBLE_DEVICES"


def with_card_as_metric(workspace):
    """Have a training of `tiny` give the card that it sees as a metric."""
    code = workspace.root / "papers/tiny/paper_tiny/train.py"
    text = code.read_text().replace("import time\n", "import os\nimport time\n", 1)
    end = "    return accuracy(model, data)\n"
    assert text.endswith(end)
    seen = f'    return {{**accuracy(model, data), "card": float(os.environ["{VARIABLE}"])}}\n'
    code.write_text(text.removesuffix(end) + seen)


def cards_of(workspace):
    """Card -> begin and end of the runs on it, in their order."""
    found = {}
    for record in workspace.records():
        assert record["status"] == "completed"
        times = (record["attempts"][0]["time"], record["attempts"][0]["end"])
        found.setdefault(record["metrics"]["card"], []).append(times)
    return found


def test_each_training_of_reproduce_and_sweep_sees_a_card_of_its_own(workspace):
    with_card_as_metric(workspace)
    workspace.environment[VARIABLE] = "3,4"
    folder = workspace.root / "papers/tiny"
    (folder / "claims.yaml").write_text(SOURCE + POINTS)
    (folder / "README.md").write_text(MARKED)
    done = workspace.run("reproduce", "--paper", "tiny")
    assert done.code == 0, done.errors
    assert {card: len(times) for card, times in cards_of(workspace).items()} == {3.0: 1, 4.0: 1}

    words = ("sweep", "tiny", "steps=2,3", "seed=0..1", "--metric", "test/accuracy", "--max")
    swept = workspace.run("research-cli", *words)
    assert swept.code == 0, swept.errors
    found = cards_of(workspace)
    assert found.keys() == {3.0, 4.0}
    for times in found.values():
        assert all(end <= begin for (_, end), (begin, _) in pairwise(times))


def test_cards_are_those_that_the_environment_leaves(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # without nvidia-smi
    monkeypatch.delenv(VARIABLE, raising=False)
    assert visible_cards() == []
    for said, cards in (("", []), ("-1", []), ("2, 0,2", ["2", "0"]), ("1,-1,0", ["1"])):
        monkeypatch.setenv(VARIABLE, said)
        assert visible_cards() == cards
    monkeypatch.setenv(VARIABLE, "GPU-a,GPU-b")
    assert cards_for(["auto", "cpu"]) == ["GPU-a", "GPU-b"]
    assert cards_for(["cpu"]) == cards_for(["auto", "cuda:1"]) == []


def test_a_divided_card_counts_by_its_parts():
    lines = (
        "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5d5b)\n"
        "  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4)\n"
        "  MIG 3g.20gb     Device  1: (UUID: MIG-11aa)\n"
        "GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-aa01)\n"
    )
    assert listed_cards(lines) == ["MIG-c6d4", "MIG-11aa", "GPU-aa01"]
    assert listed_cards("No devices found.\n") == []


@pytest.mark.parametrize(
    ("in_use", "chosen"), [([], "a"), (["a"], "b"), (["a", "b"], "a"), (["b", "b", "a"], "a")]
)
def test_a_second_training_on_a_card_comes_when_all_have_one(in_use, chosen):
    assert least_used(["a", "b"], in_use) == chosen
    assert least_used([], in_use) is None
