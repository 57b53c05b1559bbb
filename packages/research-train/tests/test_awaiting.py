"""Claims that await hardware, lack data, or are tried at a smaller scale: none is reproduced."""

import json
import re

import pytest
from research_train.claims.awaiting import Awaiting
from research_train.evidence.hardware import split
from research_train.evidence.plan import Plan
from tiny_claims import ANSWER, AWAITING, MARKED, POINTS, SOURCE


@pytest.fixture
def paper(workspace):
    """A paper with a claim for this machine, and one for a GPU larger than any."""
    folder = workspace.root / "papers" / "tiny"
    (folder / "claims.yaml").write_text(SOURCE + ANSWER + AWAITING)
    (folder / "README.md").write_text(MARKED)
    return folder


def reproduce(workspace, *words):
    return workspace.run("reproduce", "--paper", "tiny", "--quiet", *words)


def results(paper):
    recorded = json.loads((paper / "results.json").read_text())
    return {claim["name"]: claim for claim in recorded["claims"]}


def test_a_claim_awaits_a_gpu_and_fails_nothing(workspace, paper):
    plan = json.loads(reproduce(workspace, "--dry-run", "--json").output)
    assert (plan["missing"], plan["awaiting"]["large"]["hours"]) == (1, 6.5)
    done = reproduce(workspace, "--json")
    assert done.code == 0, done.errors
    answer, large = json.loads(done.output)["claims"]
    assert (answer["verdict"], large["verdict"]) == ("reproduced", "awaiting")
    assert (answer["cost"]["tried"], large["cost"]) == (1, None)
    assert (large["page"], large["quote"]) == (7, "we reach 9")
    assert len(workspace.records()) == 1
    kept = results(paper)
    assert (kept["large"]["verdict"], kept["large"]["values"]) == ("awaiting", [])
    assert kept["large"]["awaiting"]["gpu_gb"] == 100000
    assert kept["answer"]["cost"]["seconds"] >= 0
    readme = (paper / "README.md").read_text()
    assert "1 reproduced, 1 awaiting." in readme
    assert re.search(r"awaiting \(.*100000 GB.*6\.5 h", readme)

    # Named, it is refused; unless only what is possible was asked for.
    reproduce(workspace, "large").refused(2, "claim large", "100000 GB", "--here")
    reproduce(workspace, "large", "--quick").refused(2, "claim large", "100000 GB")
    assert reproduce(workspace, "large", "answer", "--here").code == 0
    assert len(workspace.records()) == 1

    # Its runs are evidence wherever they were made, and its entry stays when they aren't here.
    assert workspace.train("second", "answer=9", "seed=0").code == 0
    made = reproduce(workspace)
    assert made.code == 0, made.errors
    assert results(paper)["large"]["verdict"] == "reproduced"
    assert "2 reproduced." in (paper / "README.md").read_text()
    run = results(paper)["large"]["runs"][0]
    (workspace.outputs / "tiny" / run).rename(workspace.root / "elsewhere")
    again = reproduce(workspace)
    assert again.code == 0, again.errors
    entry = results(paper)["large"]
    assert (entry["verdict"], entry["runs"], entry["values"]) == ("reproduced", [run], [9.0])
    assert entry["kept"] and "kept: " in (paper / "README.md").read_text()
    text = (paper / "claims.yaml").read_text()
    (paper / "claims.yaml").write_text(text.replace("published: 9", "published: 8"))
    assert reproduce(workspace).code == 0
    assert results(paper)["large"]["verdict"] == "awaiting"


def test_a_smaller_scale_is_judged_and_never_counts_as_reproduced(workspace, paper):
    scaled = ANSWER + "    scale: 7 units, published with 70\n"
    (paper / "claims.yaml").write_text(SOURCE + scaled)
    done = reproduce(workspace, "--json")
    assert done.code == 0, done.errors
    [claim] = json.loads(done.output)["claims"]
    assert (claim["verdict"], claim["scale"]) == ("reproduced", "7 units, published with 70")
    assert results(paper)["answer"]["scale"] == "7 units, published with 70"
    readme = (paper / "README.md").read_text()
    assert "1 scaled (reproduced)." in readme
    assert "scaled (reproduced; 7 units" in readme
    # Written as if it had been the published scale: set after its run.
    (paper / "claims.yaml").write_text(SOURCE + ANSWER)
    assert "set after 1 run" in reproduce(workspace).output


def test_claims_whose_data_is_out_of_reach(workspace, paper):
    workspace.environment["HF_HUB_OFFLINE"] = "1"
    with (paper / "pyproject.toml").open("a") as file:
        file.write("[tool.research]\ndatasets = ['rows@0123456']\nneeds = {second = []}\n")

    # Only a claim that awaits a GPU anyway needs what can't be had.
    (paper / "claims.yaml").write_text(
        SOURCE
        + ANSWER
        + AWAITING.replace("experiment: second\n    overrides: {nine: [answer=9]}", "")
    )
    done = reproduce(workspace)
    assert done.code == 0, done.errors
    assert {name: each["verdict"] for name, each in results(paper).items()} == {
        "answer": "reproduced",
        "large": "awaiting",
    }

    # Another one is an error, unless only what is possible was asked for.
    (paper / "claims.yaml").write_text(SOURCE + POINTS + ANSWER)
    before = (paper / "results.json").read_bytes()
    for words in ([], ["--dry-run"], ["points"]):
        refused = reproduce(workspace, *words)
        refused.refused(1, "rows")
        assert ("--here" in refused.errors) == ("points" not in words)
    plan = json.loads(reproduce(workspace, "--dry-run", "--here", "--json").output)
    assert (len(plan["runs"]), plan["left_out"].keys()) == (1, {"points"})
    done = reproduce(workspace, "--here", "--json")
    assert done.code == 0, done.errors
    told = json.loads(done.output)
    assert [claim["claim"] for claim in told["claims"]] == ["answer"]
    assert "rows" in told["left_out"]["points"]
    assert (paper / "results.json").read_bytes() == before
    assert reproduce(workspace, "points", "--here").code == 0
    assert len(workspace.records()) == 1


@pytest.mark.parametrize(
    ("gpu_gb", "waiting", "at_once"), [(None, True, None), (8.0, True, None), (17.0, False, 1)]
)
def test_a_gpu_of_enough_memory_makes_what_awaits_one(paper, experiment, gpu_gb, waiting, at_once):
    from research_train.claims.claim import read_claims

    text = (paper / "claims.yaml").read_text()
    (paper / "claims.yaml").write_text(text.replace("100000", "16"))
    claims = read_claims(paper)
    answer, large = claims.claims
    plan = Plan(experiment.member, claims, [answer, large], {}, {}, {}, {}, {})
    possible = split(plan, [large], gpu_gb)
    assert possible.waiting == ([large] if waiting else [])
    assert possible.plan.chosen == ([answer] if waiting else [answer, large])
    assert possible.at_once == at_once


def test_hardware_is_said_in_a_sentence():
    needed = Awaiting(gpu_gb=16, hours=2, measured="x")
    assert needed.why_not_on(None) and needed.why_not_on(15.8) and needed.why_not_on(16) is None
