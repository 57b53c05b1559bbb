"""From claims to verdicts: what is missing is run, what is there is used, each verdict can turn."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
from research_train.results import costs
from research_train.results.recorded import RecordedResults
from research_train.state import snapshot, train_state
from tiny_claims import ANSWER, MARKED, POINTS, SOURCE

CLAIMS = SOURCE + POINTS + ANSWER


@pytest.fixture
def paper(workspace):
    folder = workspace.root / "papers" / "tiny"
    (folder / "claims.yaml").write_text(CLAIMS)
    (folder / "README.md").write_text(MARKED)
    return folder


def test_an_output_of_ascii_shows_the_table_all_the_same(workspace, paper):
    workspace.environment["PYTHONIOENCODING"] = "ascii"
    for words in ([], ["--dry-run"]):
        result = workspace.run("reproduce", "--paper", "tiny", *words)
        assert result.code in (0, 1) and "Traceback" not in result.errors, result.errors
        assert "error" not in result.errors
    table = workspace.run("reproduce", "--paper", "tiny").output
    assert " +- " in table and (paper / "results.json").is_file()


def reproduce(workspace, *words):
    return workspace.run("reproduce", "--paper", "tiny", "--quiet", *words)


def verdicts(result):
    return {row["claim"]: row["verdict"] for row in json.loads(result.output)["claims"]}


def notes(result):
    return {row["claim"]: row["notes"] for row in json.loads(result.output)["claims"]}


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_plan_made_in_a_fork_is_the_same_and_so_is_what_the_papers_code_does_wrong(
    workspace, paper
):
    for wrong, code, said in (
        ("", 0, ""),
        ("\nraise SystemExit(0)\n", 2, "exit"),
        ("\nimport os; os._exit(3)\n", 2, "exit code 3"),
    ):
        config = paper / "paper_tiny" / "config.py"
        config.write_text(config.read_text() + wrong)
        words = ("reproduce", "--paper", "tiny", "--dry-run")
        forked, preloaded = workspace.typed(*words), workspace.run(*words)
        assert (forked.code, forked.output) == (preloaded.code, preloaded.output)  # torch was there
        assert forked.code == code and said in forked.errors and "Traceback" not in forked.errors
        config.write_text(config.read_text().removesuffix(wrong))


def test_missing_runs_are_trained_once_and_the_verdict_follows_the_claim(workspace, paper):
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
    assert notes(again) == {"points": [], "answer": ["set after 1 run"]}
    assert len(workspace.records()) == 3
    (paper / "README.md").write_text(readme)
    plan = json.loads(reproduce(workspace, "--dry-run", "--json").output)
    assert (plan["missing"], plan["recorded"]["runs"]) == (0, 3)
    # On a machine without the runs, what they took elsewhere is all one knows.
    shutil.rmtree(workspace.outputs / "tiny")
    plan = json.loads(reproduce(workspace, "--dry-run", "--json").output)
    assert (plan["missing"], plan["seconds"]) == (3, 0) and plan["recorded"]["seconds"] > 0
    assert "3 runs of the recorded results took" in reproduce(workspace, "--dry-run").output


def test_a_record_edited_by_hand_is_no_evidence(workspace, paper):
    assert reproduce(workspace, "answer").code == 0
    [record] = workspace.outputs.glob("tiny/[!.]*/run.json")
    change(record, '"answer": 7.0', '"answer": 8.0')
    change(paper / "claims.yaml", "published: 7", "published: 8")
    edited = json.loads(reproduce(workspace, "answer", "--dry-run", "--json").output)["edited"]
    assert edited == [record.parent.name]
    again = reproduce(workspace, "answer")
    assert again.code == 1
    assert f"no evidence: {edited[0]}: changed" in again.output
    assert "not reproduced" in again.output
    assert len(workspace.records()) == 2


def test_changed_code_is_run_anew_and_a_failure_is_said(workspace, paper):
    assert reproduce(workspace).code == 0
    account = [(paper / name).read_bytes() for name in ("results.json", "README.md")]
    train = paper / "paper_tiny/train.py"
    # Another number in seed 0: whichever seed is replayed, nothing is carried.
    new = "assert config.seed != 1, 'not this'\n    torch.manual_seed(3)"
    change(train, "data = load(run)", f"data = load(run)\n    {new}")
    failed = reproduce(workspace, "--json")
    assert failed.code == 1
    [failure] = json.loads(failed.output)["failed"]
    assert failure == {"run": "tiny seed=1", "why": "AssertionError: not this"}
    assert "points" not in verdicts(failed)  # one seed gives no interval
    # What failed is no account of the paper, and neither are some claims or fewer seeds.
    some = reproduce(workspace, "answer")
    assert "1 of 2 claims" in some.output
    assert account == [(paper / name).read_bytes() for name in ("results.json", "README.md")]


def test_a_run_whose_code_changes_while_it_trains_is_no_evidence(workspace, paper):
    slow = "overrides: {slow: [sleep=0.05, steps=40]}"
    change(paper / "claims.yaml", "seeds: 2\n", f"seeds: 2\n    {slow}\n")
    process = workspace.start("reproduce", "--paper", "tiny", "points", "--jobs", "1")
    workspace.wait_for_step(process, 1)
    change(paper / "paper_tiny/train.py", "data = load(run)", "data = (load(run), 1)[0]")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.search("failed: tiny .*seed=1: .* code", output)


def test_an_interrupted_one_goes_on_where_it_was(workspace, paper):
    slow = "overrides: {slow: [sleep=0.1, steps=60, checkpoint_every=5]}"
    change(paper / "claims.yaml", "seeds: 2\n", f"seeds: 2\n    {slow}\n")
    process = workspace.start("reproduce", "--paper", "tiny", "points", "--jobs", "2")
    workspace.wait_for_step(process, 1)
    second = reproduce(workspace, "points")
    second.refused(1, "`reproduce` of tiny")
    workspace.wait_for_step(process, 20)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert {record["status"] for record in workspace.records()} == {"interrupted"}
    begun = {record["id"] for record in workspace.records()}
    assert reproduce(workspace, "points").code == 0
    assert {record["id"] for record in workspace.records()} == begun
    assert all(len(record["attempts"]) == 2 for record in workspace.records())


def test_a_quick_run_is_no_evidence_and_leaves_no_run(workspace, paper):
    done = reproduce(workspace, "--quick")
    assert done.code == 0, done.errors
    assert "no evidence" in done.output
    assert not workspace.records()
    assert not (paper / "results.json").exists()
    assert not (workspace.outputs / "tiny/claims").exists()
    wrong = "assert config.seed, 'not this'\n    data = load(run)"
    change(paper / "paper_tiny/train.py", "data = load(run)", wrong)
    failed = reproduce(workspace, "--quick", "--json")
    assert failed.code == 1
    [failure] = json.loads(failed.output)["failed"]
    assert failure["run"].endswith("seed=0") and failure["why"] == "AssertionError: not this"


@pytest.mark.parametrize(
    ("old", "new", "code", "parts"),
    [
        (
            "metric: answer",
            "metric: answr",
            2,
            ["claim answer", "'answr'", "'answer'?"],
        ),
        ("experiment: second", "experiment: secnd", 2, ["secnd", "second"]),
        (
            "[answer=7]",
            "[answr=7]",
            2,
            ["claims.yaml: claim answer: overrides: ", "'answr'", "'answer'?"],
        ),
        ("[answer=7]", "[answer=no]", 2, ["claims.yaml: claim answer: ", "'answer'"]),
        ("published: 7", "published: seven", 2, ["claims.yaml", "claim answer", "published"]),
    ],
)
def test_wrong_claims_are_one_message(workspace, paper, old, new, code, parts):
    change(paper / "claims.yaml", old, new)
    reproduce(workspace, "answer").refused(code, *parts)
    assert not (paper / "results.json").exists()


def test_unknown_claims_no_seeds_and_missing_files_are_refused(workspace, paper):
    reproduce(workspace, "anwser").refused(2, "'anwser'", "'answer'?")
    reproduce(workspace, "--seeds", "0").refused(2, "--seeds", "one")
    (paper / "README.md").write_text("# Tiny\n")
    reproduce(workspace, "answer").refused(2, "README.md", "<!-- /claims -->")
    (paper / "README.md").write_text(MARKED)
    (paper / "claims.yaml").unlink()
    reproduce(workspace).refused(2, "claims.yaml")


SECOND = """from research_train import Metrics, Run

from paper_tiny.second.config import Config


def train(config: Config, run: Run) -> Metrics:
    answer = config.answer + (0.0, 0.2, -0.2, 0.1, -0.1, 0.0)[config.seed % 6]
    never = float("nan") if config.seed == 1 else 1000.0 * config.answer + config.seed
    return {"answer": answer, "fixed": 1.0, "test/steps": never, "train/steps": 100.0}
"""
OF_SECOND = """source: Nobody, Table 2
claims:
  - name: answer
    what: The answer of the second experiment.
    experiment: second
    overrides: {seven: [answer=7]}
"""


def claims_of_second(paper, *lines):
    (paper / "paper_tiny/second/train.py").write_text(SECOND)
    (paper / "claims.yaml").write_text(OF_SECOND + "".join(f"    {line}\n" for line in lines))


def test_a_plan_is_extended_once_and_only_where_its_first_look_is_undecided(workspace, paper):
    value = ("kind: value", "metric: answer", "published: 7", "reason: a test", "seeds: 3")
    claims_of_second(paper, *value, "tolerance: 0.4", "extend_to: 6")
    done = reproduce(workspace, "--json")
    assert len(workspace.records()) == 6, done.errors
    assert (done.code, verdicts(done)) == (0, {"answer": "reproduced"})
    [recorded] = json.loads((paper / "results.json").read_text())["claims"]
    assert (recorded["n"], recorded["set"]["after_runs"]) == (6, 0)
    assert recorded["set"]["first_run"] == min(each["started"] for each in workspace.records())
    plan = json.loads(reproduce(workspace, "--dry-run", "--json").output)
    assert (len(plan["runs"]), plan["missing"]) == (6, 0)

    # A first look that decides is the last one, whatever else has been run.
    claims_of_second(paper, *value, "tolerance: 4", "extend_to: 6")
    done = reproduce(workspace, "--json")
    assert verdicts(done) == {"answer": "reproduced"}
    assert notes(done) == {"answer": ["set after 6 runs"]}
    [recorded] = json.loads((paper / "results.json").read_text())["claims"]
    assert (recorded["n"], recorded["set"]["after_runs"]) == (3, 6)

    # Seeds that nobody planned are no account of the paper, more of them as little as fewer.
    before = (paper / "results.json").read_bytes()
    done = reproduce(workspace, "--seeds", "5")
    assert re.search(r"answer .*\b3 or 6 seeds.*\b5\b", done.output)
    assert (paper / "results.json").read_bytes() == before


def test_bounds_quotients_and_what_was_never_reached(workspace, paper):
    bound = ("kind: bound", "metric: test/steps / train/steps", "above: 30", "seeds: 3")
    claims_of_second(paper, *bound)
    failed = reproduce(workspace, "--json")
    [failure] = json.loads(failed.output)["failed"]
    assert (failed.code, failure["run"]) == (1, "tiny.second answer=7 seed=1")
    assert "test/steps" in failure["why"]
    assert "`censored_at: steps`" in failure["why"]
    claims_of_second(paper, *bound, "censored_at: 7002")
    done = reproduce(workspace)
    assert done.code == 0, done.errors
    assert "above 30" in done.output
    assert re.search(r"reproduced \(1 of 3 .*7,002 steps; .*3 runs\)", done.output)
    [recorded] = json.loads((paper / "results.json").read_text())["claims"]
    assert recorded["values"] == [70.0, {"at_least": 70.02}, 70.02]
    assert recorded["interval"][1] is None
    assert "≥ 69.9" in (paper / "README.md").read_text()


def test_a_seed_that_changes_nothing_is_reported(workspace, paper):
    value = ("kind: value", "published: 1", "tolerance: 0.5", "reason: a test", "seeds: 3")
    claims_of_second(paper, *value, "metric: fixed")
    done = reproduce(workspace)
    assert done.code == 0, done.errors
    assert re.search(r"reproduced \(.*n = 1\)", done.output)


def test_groups_that_are_the_same_runs_are_refused(workspace, paper):
    ratio = ("kind: ratio", "metric: answer", "published: 1", "tolerance: 0.5", "reason: a test")
    claims_of_second(paper, *ratio)
    file = paper / "claims.yaml"
    change(file, "{seven: [answer=7]}", "{one: [answer=7], two: [answer=7, log_every=3]}")
    reproduce(workspace).refused(2, "claims.yaml: claim answer: overrides: ", "'one' and 'two'")
    change(file, "log_every=3", "steps=3")  # in a smoke test both have twenty
    done = reproduce(workspace, "--quick")
    assert done.code == 0, done.errors
    change(file, "steps=3", "seed=3")
    reproduce(workspace).refused(
        2, "claims.yaml, line 3: claim answer", "overrides of two: 'seed=3'"
    )
    assert not workspace.records()


def test_the_time_of_a_paper_counts_each_run_once():
    claim = {"published": 1, "mean": 1, "interval": [1, 1], "n": 1, "verdict": "reproduced"}

    def results(*claims):
        entries = [
            {**claim, "name": str(number), "runs": list(runs), "values": [], "cost": cost}
            for number, (runs, cost) in enumerate(claims)
        ]
        texts = {"source": "", "date": "", "hardware": "", "packages": ""}
        return RecordedResults.model_validate({**texts, "claims": entries})

    ab, abc, d = {"seconds": 3}, {"seconds": 10}, {"seconds": 5}
    assert results(("abc", abc), ("ab", ab), ("d", d), ("ab", ab)).together == (4, 15)
    assert results(("ab", ab), ("d", None)).together == (3, None)
    assert results(("", None)).together == (0, 0)


def test_with_nothing_to_train_torch_is_not_imported():
    program = (
        "import sys, research_train.reproduce_command, research_train.evidence.reproduce\n"
        "import research_train.results.report, research_train.results.screen\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    assert (costs.MODEL, costs.STATE) == (snapshot.MODEL, train_state.STATE)
