"""From claims to verdicts: what is missing is run, what is there is used, each verdict can turn."""

import json
import signal

import pytest

CLAIMS = """source: Nobody, Table 1
claims:
  - name: points
    what: Accuracy on the points.
    kind: value
    metric: test/accuracy
    published: 0.9
    tolerance: 0.3
    reason: wide, for a test
    seeds: 2
  - name: answer
    what: The answer of the second experiment.
    kind: value
    metric: answer
    published: 7
    tolerance: 0
    reason: nothing is random
    experiment: second
    overrides: {seven: [answer=7]}
    seeds: 1
"""
MARKED = "# Tiny\n\n<!-- claims: written by `reproduce` -->\n<!-- /claims -->\n\nMore.\n"


@pytest.fixture
def paper(workspace):
    folder = workspace.root / "papers" / "tiny"
    (folder / "claims.yaml").write_text(CLAIMS)
    (folder / "README.md").write_text(MARKED)
    return folder


def reproduce(workspace, *words):
    return workspace.run("reproduce", "--paper", "tiny", "--quiet", *words)


def verdicts(result):
    return {row["claim"]: row["verdict"] for row in json.loads(result.output)["claims"]}


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_what_is_missing_is_run_once_and_the_verdict_follows_the_claim(workspace, paper):
    plan = reproduce(workspace, "--dry-run")
    assert plan.output.splitlines()[-1].startswith("3 of 3 to run")
    assert not workspace.records()
    first = reproduce(workspace, "--json")
    assert first.code == 0, first.errors
    assert verdicts(first) == {"points": "reproduced", "answer": "reproduced"}
    assert len(workspace.records()) == 3
    evidence = json.loads((workspace.outputs / "tiny/claims/claims.json").read_text())
    assert [claim["n"] for claim in evidence] == [2, 1]
    assert len(evidence[0]["runs"]) == 2
    for name in ("claims.png", "claims.svg", "claims.md", "claims.tex"):
        assert (workspace.outputs / "tiny/claims" / name).stat().st_size > 0
    results = json.loads((paper / "results.json").read_text())
    assert len(results["claims"][0]["values"]) == 2
    readme = (paper / "README.md").read_text()
    assert "| points" in readme and readme.endswith("<!-- /claims -->\n\nMore.\n")
    # Another verdict from the same runs: nothing is a constant.
    change(paper / "claims.yaml", "published: 7", "published: 8")
    again = reproduce(workspace, "--json")
    assert (again.code, verdicts(again)["answer"]) == (1, "not reproduced")
    assert len(workspace.records()) == 3
    (paper / "README.md").write_text(readme)
    plan = reproduce(workspace, "--dry-run", "--json")
    assert json.loads(plan.output)["missing"] == 0


def test_a_record_edited_by_hand_is_no_evidence(workspace, paper):
    assert reproduce(workspace, "answer").code == 0
    [record] = workspace.outputs.glob("tiny/[!.]*/run.json")
    change(record, '"answer": 7.0', '"answer": 8.0')
    change(paper / "claims.yaml", "published: 7", "published: 8")
    edited = json.loads(reproduce(workspace, "answer", "--dry-run", "--json").output)["edited"]
    assert edited == [record.parent.name]
    again = reproduce(workspace, "answer")
    assert again.code == 1
    assert f"no evidence: {edited[0]}: changed after it ended" in again.output
    assert "not reproduced" in again.output
    assert len(workspace.records()) == 2


def test_changed_code_is_run_anew_and_a_failure_is_said(workspace, paper):
    assert reproduce(workspace).code == 0
    account = [(paper / name).read_bytes() for name in ("results.json", "README.md")]
    train = paper / "paper_tiny/train.py"
    change(train, "data = load(run)", "data = load(run)\n    assert config.seed != 1, 'not this'")
    failed = reproduce(workspace, "--json")
    assert failed.code == 1
    [failure] = json.loads(failed.output)["failed"]
    assert failure == {"run": "tiny seed=1", "why": "AssertionError: not this"}
    assert "points" not in verdicts(failed)  # one seed gives no interval
    # What failed is no account of the paper, and neither are some claims or fewer seeds.
    some = reproduce(workspace, "answer")
    assert "are as before: 1 of 2 claims were not asked for" in some.output
    assert account == [(paper / name).read_bytes() for name in ("results.json", "README.md")]


def test_what_changes_while_it_is_trained_is_no_evidence_and_said(workspace, paper):
    slow = "overrides: {slow: [sleep=0.05, steps=40]}"
    change(paper / "claims.yaml", "seeds: 2\n", f"seeds: 2\n    {slow}\n")
    process = workspace.start("reproduce", "--paper", "tiny", "points", "--jobs", "1")
    workspace.wait_for_step(process, 1)
    change(paper / "paper_tiny/train.py", "data = load(run)", "data = (load(run), 1)[0]")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "failed: tiny sleep=0.05 steps=40 seed=1: it ended, but code" in output


def test_an_interrupted_one_goes_on_where_it_was(workspace, paper):
    slow = "overrides: {slow: [sleep=0.05, steps=60, checkpoint_every=5]}"
    change(paper / "claims.yaml", "seeds: 2\n", f"seeds: 2\n    {slow}\n")
    process = workspace.start("reproduce", "--paper", "tiny", "points", "--jobs", "2")
    workspace.wait_for_step(process, 20)
    second = reproduce(workspace, "points")
    second.refused(1, "another `reproduce` of tiny is at work")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert {record["status"] for record in workspace.records()} == {"interrupted"}
    begun = {record["id"] for record in workspace.records()}
    assert reproduce(workspace, "points").code == 0
    assert {record["id"] for record in workspace.records()} == begun
    assert all(len(record["attempts"]) == 2 for record in workspace.records())


def test_a_smoke_test_is_no_evidence_and_leaves_none(workspace, paper):
    done = reproduce(workspace, "--quick")
    assert done.code == 0, done.errors
    assert "no evidence" in done.output
    assert not workspace.records()
    assert not (paper / "results.json").exists()
    assert not (workspace.outputs / "tiny/claims").exists()


@pytest.mark.parametrize(
    ("old", "new", "code", "parts"),
    [
        (
            "metric: answer",
            "metric: answr",
            2,
            ["claim answer", "'answr'", "Did you mean 'answer'"],
        ),
        ("experiment: second", "experiment: secnd", 2, ["secnd", "second"]),
        ("[answer=7]", "[answr=7]", 2, ["answr", "Did you mean 'answer'"]),
        ("published: 7", "published: seven", 2, ["claims.yaml", "claim answer", "published"]),
    ],
)
def test_wrong_claims_are_one_message(workspace, paper, old, new, code, parts):
    change(paper / "claims.yaml", old, new)
    reproduce(workspace, "answer").refused(code, *parts)
    assert not (paper / "results.json").exists()


def test_words_that_mean_nothing(workspace, paper):
    reproduce(workspace, "anwser").refused(2, "Did you mean 'answer'?")
    reproduce(workspace, "--seeds", "0").refused(2, "at least one")
    (paper / "README.md").write_text("# Tiny\n")
    reproduce(workspace, "answer").refused(2, "has no place for the table", "<!-- /claims -->")
    (paper / "README.md").write_text(MARKED)
    (paper / "claims.yaml").unlink()
    reproduce(workspace).refused(2, "claims.yaml", "there is none")
