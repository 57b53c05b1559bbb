"""Randomness that no seed reaches: the order of sets, and what a module draws on its way in."""

import json

import pytest


@pytest.fixture
def drawn(workspace):
    """The paper's `second` says what it drew while it was imported, and in what order a set is."""
    folder = workspace.root / "papers/tiny/paper_tiny/second"
    drawing = (
        "import random\n\nimport numpy\nimport torch\n\n"
        "DRAWN = [random.random(), numpy.random.rand(), torch.rand(1).item()]\n"
        "ORDER = [float(word) for word in {str(n) for n in range(20)}]\n\n\n"
        "def numbers():\n"
        "    called = [random.random(), numpy.random.rand(), torch.rand(1).item()]\n"
        "    return {str(n): value for n, value in enumerate([*DRAWN, *ORDER, *called])}\n\n\n"
    )
    (folder / "train.py").write_text(f"{drawing}def train(config, run):\n    return numbers()\n")
    (folder / "evaluate.py").write_text(
        f"from research_train import Evaluation\n{drawing}"
        "def evaluate(config, run):\n    return Evaluation(metrics=numbers())\n"
    )
    return workspace


def test_the_same_seed_gives_the_same_numbers_in_another_process(drawn):
    trained, evaluated = [], []
    for key in ("1", "random"):
        drawn.environment["PYTHONHASHSEED"] = key
        typed = drawn.typed("train", "--paper", "tiny", "second", "--json", "seed=5")
        trained.append(json.loads(typed.output)["metrics"])
        typed = drawn.typed("evaluate", "--paper", "tiny", "second", "--json")
        evaluated.append(json.loads(typed.output)["metrics"])
    assert trained[0] == trained[1]
    assert evaluated[0] == evaluated[1]
    assert {record["environment"]["hash_seed"] for record in drawn.records()} == {"0"}


def test_a_process_whose_order_of_sets_is_not_fixed_says_so(drawn):
    program = (
        "from research_train import find_member, installed_members, new_run\n"
        "experiment = find_member('tiny', installed_members()).experiment('second')\n"
        "print(new_run(experiment, []).record.environment.hash_seed)\n"
    )
    found = []
    for key in ("random", "7", "0"):
        drawn.environment["PYTHONHASHSEED"] = key
        found += drawn.run_program("python", "-c", program).output.splitlines()[-1:]
    assert found == ["random", "7", "0"]


def test_an_old_record_is_resumed_without_a_warning(workspace):
    run = workspace.train("steps=10").folder
    record = json.loads((run / "run.json").read_text())
    for environment in (record["environment"], record["attempts"][0]["environment"]):
        del environment["hash_seed"]
    (run / "run.json").write_text(json.dumps(record | {"status": "failed", "seal": None}))
    result = workspace.train("--resume", run.name, "steps=12")
    assert result.code == 0, result.errors
    assert "warning" not in result.errors
