"""`research-cli paper check`: what is wrong with a paper, and half-deleted ones mended."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from new_members import NewMembers
from research_cli.paper.check import check_papers
from research_cli.paper.half_deleted import find_leftovers
from research_cli.paper.screens import list_rows
from research_cli.paper.state import papers
from research_cli.paper.templates import NewMember, fill_in
from research_data import UsageError
from research_train.claims.claim import Censored, Claim, Claims, Finding, judge, read_claims
from research_train.evidence.claim_edits import ClaimSet
from research_train.evidence.reproduce import Reproduction
from research_train.experiment.members import Member
from research_train.record.summary import RunSummary
from research_train.results.readme import BEGIN, readme_block
from research_train.results.recorded import RecordedResults, results_of
from research_train.results.standing import standings


@pytest.fixture
def workspace(tmp_path: Path) -> NewMembers:
    """With the paper `whole`, which is not installed."""
    workspace = NewMembers(tmp_path / "workspace")
    folder = workspace.root / "papers" / "whole"
    folder.mkdir(parents=True)
    fill_in(NewMember("whole", "paper", "All of it"), folder)
    return workspace


def edit(file: Path, old: str, new: str) -> None:
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_each_problem_is_a_line_with_its_fix(
    workspace: NewMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEARCH_ASSETS", str(workspace.root / "assets"))
    [before] = check_papers(workspace.root)
    [unsynced] = before.problems
    assert "'paper-whole' is installed" in unsynced and "uv sync" in unsynced
    assert not [note for note in before.notes if "does nothing" in note]

    paper = workspace.root / "papers" / "whole"
    pyproject = paper / "pyproject.toml"
    edit(pyproject, 'title = "All of it"', 'datasets = ["squad", "glue@bcdcba79d07b"]\nyear = "x"')
    edit(pyproject, "data:POINTS", "data:PONTS")
    edit(pyproject, "research-train = { workspace = true }\n", "")
    edit(paper / "paper_whole" / "train.py", "def train(", "def trian(")
    edit(paper / "paper_whole" / "evaluate.py", 'if __name__ == "__main__":', "if False:")
    edit(
        paper / "paper_whole" / "model.py", "import nn\n", "import nn\nfrom research_viz import x\n"
    )
    edit(paper / "claims.yaml", "published: 0.8413", "published: much")
    (paper / "paper_whole" / "config.py").unlink()
    (paper / "tests" / "test_whole.py").unlink()
    (paper / "README.md").unlink()
    [after] = check_papers(workspace.root, ["paper-whole"])
    wanted = [
        r"papers/whole: .*README.md",
        r"papers/whole: .*tests/test_whole.py",
        r"papers/whole/paper_whole/config.py: .*class Config",
        r"papers/whole/paper_whole/train.py: .*train\(config, run\)",
        r"pyproject.toml: \[tool.research.generated\] whole-points = 'paper_whole.data:PONTS'",
        r"pyproject.toml: .*research-train.*`research-train = \{ workspace = true \}`",
        r"model.py: imports research_viz.*`uv add --package paper-whole research-viz`",
        r"'paper-whole'.* installed",
        r"pyproject.toml: \[tool.research\] .*title",
        r"pyproject.toml: \[tool.research\] year = 'x'",
        r"claims.yaml, line \d+: claim placeholder: published: ",
        r"'squad'.* squad@<sha>",
    ]
    for pattern, problem in zip(wanted, after.problems, strict=True):
        assert re.search(pattern, problem), problem
    edit(pyproject, '"squad", ', "")
    edit(pyproject, 'year = "x"', 'year = "x"\nneeds = { whole = ["squad"] }')
    [after] = check_papers(workspace.root)
    assert "pyproject.toml: [tool.research.needs] whole: 'squad'" in after.problems[-1]
    edit(pyproject, '"squad"', '"glue"')
    [after] = check_papers(workspace.root)
    assert after.kind == "paper" and any("nothing reproduced" in note for note in after.notes)
    [note] = [note for note in after.notes if "glue" in note]
    assert note.startswith("whole: ") and "glue@bcdcba79d07b" in note and "`train`" in note
    [note] = [note for note in after.notes if "does nothing" in note]
    assert "python papers/whole/paper_whole/evaluate.py" in note and "run_file" in note


def test_results_and_table_are_held_against_the_claims(workspace: NewMembers) -> None:
    paper = workspace.root / "papers" / "whole"
    claims = paper / "claims.yaml"
    values = [0.84, 0.841, 0.842]
    finding = judge(read_claims(paper).claims[0], values)
    results = recorded(finding)
    (paper / "results.json").write_text(json.dumps(results))
    assert verdicts(workspace) == "1 reproduced"

    def problems() -> list[str]:
        """Without that it is not installed."""
        return check_papers(workspace.root)[0].problems[1:]

    def has_one_problem(place: str, *facts: str) -> None:
        [problem] = problems()
        assert problem.startswith(place)
        wanted = [*facts, "`uv run --package paper-whole reproduce`"]
        assert [fact for fact in wanted if fact not in problem] == [], problem

    of_results = "papers/whole/results.json: claim placeholder: "
    has_one_problem("papers/whole/README.md: ", "table", "results.json")
    edit(paper / "README.md", f"{BEGIN}\n", BEGIN + readme_block([finding], {}, results))
    assert problems() == []
    edit(claims, "published: 0.8413", "published: 0.9413")
    has_one_problem(of_results, "published", "0.8413", "claims.yaml", "0.9413")
    assert verdicts(workspace) == "1 not reproduced"
    edit(claims, "published: 0.9413", "published: 0.8413")
    edit(claims, "tolerance: 0.02", "tolerance: 0.0001")
    has_one_problem(of_results, "reproduced", "undecided", "claims.yaml")
    assert verdicts(workspace) == "1 undecided"
    edit(claims, "tolerance: 0.0001", "tolerance: 0.02")

    # By hand: numbers that don't follow from the values, fewer seeds than the claim asks for.
    low, high = finding.interval
    results["claims"][0] |= {"mean": 0.9, "interval": [0.89, 0.91], "n": 30, "verdict": "better"}
    (paper / "results.json").write_text(json.dumps(results))
    has_one_problem(
        of_results,
        "n 30, mean 0.9, interval 0.89 to 0.91, better",
        f"n 3, mean 0.841, {low:.10g} to {high:.10g}, reproduced",
        "claims.yaml",
    )
    assert verdicts(workspace) == "1 reproduced"
    results["claims"][0]["values"] = [0.84]
    (paper / "results.json").write_text(json.dumps(results))
    assert verdicts(workspace) == "1 stale"
    results["claims"] *= 2
    (paper / "results.json").write_text(json.dumps(results))
    assert "two claims" in verdicts(workspace) and "'placeholder'" in verdicts(workspace)


def test_fewer_seeds_than_the_claim_asks_for_are_a_doubt(workspace: NewMembers) -> None:
    [claim] = read_claims(workspace.root / "papers" / "whole").claims
    for count, seeds in ((3, []), (2, ["2 seeds"]), (1, ["1 seed"])):
        results = recorded(judge(claim, [0.84, 0.841, 0.842]))
        results["claims"][0] |= {"values": [0.84, 0.841, 0.842][:count], "n": count}
        [standing] = standings([claim], RecordedResults.model_validate(results))
        for each, doubt in zip(seeds, standing.doubts, strict=False):
            assert f"values of {each}" in doubt and "claims.yaml asks for 3" in doubt
        assert len(standing.doubts) >= len(seeds)
        assert (standing.verdict == "stale") == (count == 1)


def test_results_with_bounds_steps_and_what_was_never_reached_are_judged_again() -> None:
    two = {"overrides": {"a": ["k=1"], "b": ["k=2"], "c": ["k=3"]}}
    common = {"what": "x", "metric": "steps", "seeds": 3}
    order = Claim.model_validate(
        {**common, **two, "name": "order", "kind": "ordering", "published": 1}
    )
    bound = Claim.model_validate({**common, "name": "late", "kind": "bound", "at_least": 5})
    findings = [
        judge(order, [(1.0, 0.5), (1.1, 0.6), (0.9, 0.4)], 7),
        judge(bound, [8.0, Censored(low=10.0), 9.0]),
        judge(bound.model_copy(update={"name": "unknown"}), [8.0, 8.0, Censored()]),
    ]
    member = Member("x", "paper-x", Path("x"), {})
    known = Claims(source="s", claims=[order, bound])
    set_at = {"order": ClaimSet(after_runs=7)}
    runs: dict[str, list[RunSummary]] = {each.claim.name: [] for each in findings}
    outcome = Reproduction(member, known, findings, runs, [], [], False, set_at)
    written = json.loads(json.dumps(results_of(outcome, {})))
    assert written["claims"][0]["steps"] == {"a to b": [1.0, 1.1, 0.9], "b to c": [0.5, 0.6, 0.4]}
    assert written["claims"][1]["values"] == [8.0, {"at_least": 10.0}, 9.0]
    results = RecordedResults.model_validate(written)
    for standing, finding in zip(
        standings([each.claim for each in findings], results), findings, strict=True
    ):
        assert standing.doubts == []
        assert standing.finding == finding


def test_what_is_right_is_no_problem_and_another_encoding_is_one(workspace: NewMembers) -> None:
    paper = workspace.root / "papers" / "whole"
    edit(paper / "paper_whole" / "data.py", "\nPOINTS =", "\nPOINTS: GeneratedDataset =")
    (paper / "paper_whole" / "data").mkdir()
    (paper / "paper_whole" / "data.py").rename(paper / "paper_whole" / "data" / "__init__.py")
    (paper / "README.md").write_bytes("Größe".encode("latin-1"))
    [unsynced, encoding] = check_papers(workspace.root)[0].problems
    assert "'paper-whole' is installed" in unsynced
    assert encoding.startswith("papers/whole/README.md: ")
    assert "UTF-8" in encoding and "byte 2" in encoding


def recorded(finding: Finding) -> dict[str, Any]:
    """What `reproduce` writes of one claim."""
    claim = {
        "name": finding.claim.name,
        "published": finding.claim.published,
        "mean": finding.mean,
        "interval": list(finding.interval),
        "n": len(finding.values),
        "verdict": finding.verdict,
        "runs": [],
        "values": finding.values,
    }
    facts = {"source": "a paper", "date": "2026-11-24", "hardware": "a CPU", "packages": "torch"}
    return {"schema": 1, **facts, "claims": [claim]}


def verdicts(workspace: NewMembers) -> str:
    """As `paper list` shows them."""
    return list_rows(papers(workspace.root))[0]["verdicts"]


def test_the_list_names_what_cannot_be_read_and_keeps_what_can(workspace: NewMembers) -> None:
    paper = workspace.root / "papers" / "whole"
    edit(paper / "pyproject.toml", 'title = "All of it"', 'title = "All of it"\nyear = "x"')
    edit(paper / "claims.yaml", "published: 0.8413", "published: much")
    [state] = papers(workspace.root)
    assert (state.title, state.year, state.verdicts) == ("All of it", None, None)
    assert "year = 'x'" in (state.problem or "")
    edit(paper / "pyproject.toml", 'year = "x"', "year = 2024")
    [state] = papers(workspace.root)
    assert state.year == 2024
    assert "claims.yaml" in (state.problem or "") and "published" in (state.problem or "")


def test_an_unknown_name_is_refused_with_the_nearest(workspace: NewMembers) -> None:
    with pytest.raises(UsageError, match=r"'whle'.*'whole'\?"):
        check_papers(workspace.root, ["whle"])


def test_half_deleted_papers_are_named_and_mended(workspace: NewMembers) -> None:
    root = workspace.root
    (root / ".gitignore").write_text(".venv/\n__pycache__/\n/papers/*/data\n/assets/*/*\n")
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    for file in ("ghost/__pycache__/a.pyc", "ghost/data", "half/notes.txt", "half/__pycache__/b"):
        (root / "papers" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "papers" / file).write_text("mine")
    (root / "papers" / "nowhere").symlink_to("/nowhere-at-all")
    (root / "papers" / "whole" / "pyproject.toml").unlink()
    found = find_leftovers(root)
    places = [each.place for each in found]
    assert places == ["papers/half", "papers/nowhere", "papers/whole"]
    assert [each.tracked for each in found] == [False, False, True]

    for words in (["list"], ["new", "other"], ["check"]):
        said = workspace.research_cli("paper", *words, code=0 if words == ["list"] else 1)
        if words != ["list"]:
            assert "papers/half: " in said and "notes.txt" in said and "pyproject.toml" in said
            assert "`.venv/bin/research-cli paper check --mend`" in said
    workspace.run("uv", "lock", code=2)
    named = workspace.research_cli("paper", "check", "nowhere", "--mend")
    assert "papers/nowhere: moved" in named and "papers/half" not in named
    assert [each.place for each in find_leftovers(root)] == ["papers/half", "papers/whole"]
    mended = workspace.research_cli("paper", "check", "--mend", code=1)  # whole isn't installed
    assert "papers/whole/pyproject.toml: " in mended and "git" in mended
    assert find_leftovers(root) == []
    [moved] = (root / "assets" / "leftovers").glob("papers-half-*")
    assert (moved / "notes.txt").read_text() == "mine"
    assert f"papers/half: moved to {moved}" in mended
    assert (root / "papers" / "ghost" / "data").exists()
    workspace.run("uv", "lock")
