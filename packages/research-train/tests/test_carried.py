"""Evidence carried to changed code: replayed where it may be, trained again where it must."""

import json
import re
import shutil

import pytest
from tiny_claims import ANSWER, MARKED, POINTS, SOURCE

LONG = (
    "    overrides: {points: [steps=400, evaluate_every=20, checkpoint_every=100, log_every=10]}\n"
)
CLAIMS = SOURCE + POINTS + LONG + ANSWER


@pytest.fixture
def paper(workspace):
    workspace.copy_packages()
    folder = workspace.root / "papers" / "tiny"
    (folder / "claims.yaml").write_text(CLAIMS)
    (folder / "README.md").write_text(MARKED)
    done = reproduce(workspace)
    assert done.code == 0, done.errors
    assert len(workspace.records()) == 3
    return folder


def reproduce(workspace, *words):
    return workspace.run("reproduce", "--paper", "tiny", *words)


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_neutral_change_costs_replays_and_another_number_trainings(workspace, paper):
    runs = [record["id"] for record in workspace.records()]
    sealed = [file.read_bytes() for file in sorted(workspace.outputs.glob("tiny/*/run.json"))]
    loop = workspace.root / "src/research_train/state/random_state.py"
    change(loop, "torch.manual_seed(seed)", "torch.manual_seed(seed + 0)")
    done = reproduce(workspace)
    assert done.code == 0, done.errors
    assert "carried: tiny" in done.errors and "1 to 60 and 301 to 400" in done.errors
    assert re.search(r"carried: tiny\.second answer=7 .*whole", done.errors)
    assert [record["id"] for record in workspace.records()] == runs
    assert not list((workspace.outputs / ".replays").iterdir())
    files = sorted(workspace.outputs.glob("tiny/*/run.json"))
    assert sealed == [file.read_bytes() for file in files]
    carried = json.loads((paper / "results.json").read_text())["carried"]
    assert {each["run"] for each in carried} <= set(runs)
    assert {each["from"] for each in carried} == {r["fingerprint"] for r in workspace.records()}
    # Known from now on.
    again = reproduce(workspace)
    assert again.code == 0 and "replay" not in again.errors and "train" not in again.errors
    # The seed of the closed form changes nothing; training's numbers are others.
    change(loop, "torch.manual_seed(seed + 0)", "torch.manual_seed(seed + 1)")
    done = reproduce(workspace)
    assert done.code == 0, done.errors
    assert "not carried: tiny" in done.errors
    assert "carried: tiny.second" in done.errors
    assert len(workspace.records()) == 5


def test_runs_of_two_older_versions_are_both_carried(workspace, paper):
    loop = workspace.root / "src/research_train/state/random_state.py"
    change(loop, "torch.manual_seed(seed)", "torch.manual_seed(seed + 0)")
    assert reproduce(workspace, "points").code == 0
    claims = paper / "claims.yaml"
    one_more = re.sub(r"seeds: \d+", lambda found: f"seeds: {int(found[0][7:]) + 1}", POINTS)
    claims.write_text(claims.read_text().replace(POINTS, one_more))
    assert reproduce(workspace, "points").code == 0
    runs = workspace.records()
    assert len({each["fingerprint"] for each in runs if each["experiment"] == "tiny"}) == 2
    change(loop, "torch.manual_seed(seed + 0)", "torch.manual_seed(0 + seed)")
    done = reproduce(workspace, "points")
    assert done.code == 0 and done.errors.count("carried: tiny") == 2, done.errors
    assert workspace.records() == runs


def test_a_difference_at_the_end_alone_is_found(workspace, paper):
    train = paper / "paper_tiny/train.py"
    twice = "twice = 2.0 if trainer.step > 350 else 1.0\n        nan = config.nan_at"
    change(train, "nan = config.nan_at", twice)
    change(train, "else 1.0)", "else twice)")
    done = reproduce(workspace, "points")
    assert "not carried: tiny" in done.errors
    assert len(workspace.records()) == 5


def test_an_edited_verdict_carries_nothing(workspace, paper):
    loop = workspace.root / "src/research_train/state/random_state.py"
    change(loop, "torch.manual_seed(seed)", "torch.manual_seed(seed + 1)")
    assert reproduce(workspace, "points").code == 0
    made = workspace.records()[3:]
    assert len(made) == 2
    change(workspace.outputs / "tiny/carried.json", '"equal": false', '"equal": true')
    for record in made:
        shutil.rmtree(workspace.outputs / "tiny" / record["id"])
    plan = json.loads(reproduce(workspace, "points", "--dry-run", "--json").output)
    assert plan["missing"] == 2
