"""`research-cli paper reproduce`: the claims of every paper that makes some."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from hub_server import add_repo, running_hub
from research_data.durable import write_bytes
from research_train.results import overview
from tiny_claims import ANSWER, MARKED, SOURCE
from workspaces import Workspace

CLAIM = SOURCE + ANSWER


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Three papers: `tiny` makes a claim that holds, `wrong` one that doesn't, `silent` none."""
    workspace = Workspace(tmp_path / "workspace")
    for name in ("tiny", "wrong", "silent"):
        folder = workspace.add_paper(name)
        (folder / "README.md").write_text(MARKED)
        if name != "silent":
            claim = CLAIM if name == "tiny" else CLAIM.replace("published: 7", "published: 8")
            (folder / "claims.yaml").write_text(claim)
    return workspace


def test_every_paper_with_claims_and_one_exit_code(workspace: Workspace) -> None:
    done = workspace.run("research-cli", "paper", "reproduce", "--all", "--json")
    assert done.code == 1, done.errors
    reports = json.loads(done.output)
    assert {paper: report["exit_code"] for paper, report in reports.items()} == {
        "tiny": 0,
        "wrong": 1,
    }
    assert reports["wrong"]["report"]["claims"][0]["verdict"] == "not reproduced"
    one = workspace.run("research-cli", "paper", "reproduce", "tiny")
    assert one.code == 0
    assert "reproduced" in one.output
    workspace.run("research-cli", "paper", "reproduce").refused(2, "--all")
    workspace.run("research-cli", "paper", "reproduce", "tinny").refused(2, "'tinny'", "'tiny'?")


def test_with_nothing_to_train_all_print_what_each_would(workspace: Workspace) -> None:
    command = ("research-cli", "paper", "reproduce")
    assert workspace.run(*command, "--all").code == 1
    alone = [workspace.run(*command, paper) for paper in ("tiny", "wrong")]
    together = workspace.run(*command, "--all")
    assert (together.code, together.output) == (1, "".join(each.output for each in alone))
    reports = json.loads(workspace.run(*command, "--all", "--json").output)
    for paper, code in (("tiny", 0), ("wrong", 1)):
        report = json.loads(workspace.run(*command, paper, "--json").output)
        assert report[paper] == reports[paper] and reports[paper]["exit_code"] == code
    assert len(workspace.records("tiny")) == len(workspace.records("wrong")) == 1
    claims = workspace.root / "papers/tiny/claims.yaml"
    claims.write_text(claims.read_text().replace("answer=7", "answer=9"))
    assert workspace.run(*command, "--all", "--dry-run").code == 0
    assert workspace.run(*command, "--all").code == 1  # it asks for one run more
    assert [len(workspace.records(paper)) for paper in ("tiny", "wrong")] == [2, 1]


def test_a_paper_whose_code_ends_its_process_leaves_the_others_their_answers(
    workspace: Workspace,
) -> None:
    command = ("research-cli", "paper", "reproduce")
    assert workspace.run(*command, "wrong").code == 1
    (workspace.root / "papers/tiny/paper_tiny/__init__.py").write_text("import os; os._exit(3)\n")
    alone = workspace.run(*command, "wrong")
    together = workspace.run(*command, "--all")
    assert alone.output in together.output and "exit code 3" in together.errors
    assert len(workspace.records("wrong")) == 1


def answered_together(workspace: Workspace) -> dict[str, bool]:
    """Paper -> whether it is answered in the process that all share."""
    asked = 'echo \'["tiny", "wrong"]\' | python -P -m research_train.settled --here --dry-run'
    lines = workspace.run_program("sh", "-c", asked).output.splitlines()
    return {each["paper"]: each["answer"] is not None for each in map(json.loads, lines)}


def test_data_is_generated_in_no_process_that_papers_share(workspace: Workspace) -> None:
    command = ("research-cli", "paper", "reproduce", "--all")
    assert workspace.run(*command).code == 1
    assert answered_together(workspace) == {"tiny": True, "wrong": True}
    [data] = (workspace.root / "assets/datasets").glob("tiny-points@*")
    shutil.rmtree(data)
    assert answered_together(workspace) == {"tiny": False, "wrong": True} and not data.exists()
    assert workspace.run(*command, "--dry-run").code == 0 and data.exists()


def test_data_that_can_be_fetched_is_fetched_for_all_too(
    workspace: Workspace, tmp_path: Path
) -> None:
    with running_hub(tmp_path / "hub") as server:
        commit = add_repo(tmp_path / "hub", "datasets", "org/rows", {"rows.csv": b"a\n1\n"})
        workspace.environment |= {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
        workspace.environment["HF_HUB_OFFLINE"] = "0"
        pyproject = workspace.root / "papers/tiny/pyproject.toml"
        need = f'[tool.research]\ndatasets = ["org/rows@{commit}"]\n\n[build-system]'
        pyproject.write_text(pyproject.read_text().replace("[build-system]", need))
        assert answered_together(workspace)["tiny"] is False
        command = ("research-cli", "paper", "reproduce", "--all", "--here", "--dry-run")
        done = workspace.run(*command)
    assert done.code == 0 and "can't be fetched" not in done.output + done.errors, done.output
    [data] = (workspace.root / "assets/datasets").glob("org--rows@*")
    shutil.rmtree(data)
    workspace.environment["HF_HUB_OFFLINE"] = "1"
    assert answered_together(workspace)["tiny"] is True  # its own `reproduce` could do no more
    assert "left out: answer: org/rows" in workspace.run(*command).output


def test_the_table_of_all_claims_is_renewed_where_nothing_is_trained(workspace: Workspace) -> None:
    command = ("research-cli", "paper", "reproduce", "--all")
    readme = workspace.root / "README.md"
    readme.write_text(f"{overview.BEGIN}\n{overview.END}\n")

    def table() -> str:
        return " ".join(readme.read_text().split())

    assert workspace.run(*command).code == 1
    assert "| all | 1 reproduced, 1 not reproduced |" in table()
    claims = workspace.root / "papers/wrong/claims.yaml"
    claims.write_text(claims.read_text().replace("published: 8", "published: 7"))
    assert answered_together(workspace) == {"tiny": True, "wrong": True}
    assert workspace.run(*command).code == 0
    assert "| all | 2 reproduced |" in table()
    # A paper's program that writes where the answers are written spoils none.
    config = workspace.root / "papers/tiny/paper_tiny/config.py"
    config.write_text(f"import os; os.write(1, b'hello\\n')\n{config.read_text()}")
    assert workspace.run(*command, "--dry-run").code == 0


def test_a_table_written_while_a_paper_renews_its_results_is_written_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = workspace.root / "README.md"
    readme.write_text(f"{overview.BEGIN}\n{overview.END}\n")
    assert workspace.run("research-cli", "paper", "reproduce", "--all").code == 1
    before = readme.read_text()
    results = workspace.root / "papers/tiny/results.json"
    kept = results.read_bytes()
    results.unlink()
    overview.write_overview(workspace.root)
    assert readme.read_text() != before

    def write(path: Path, content: bytes) -> None:
        write_bytes(path, content)
        results.write_bytes(kept)  # by the paper's own `reproduce`, which counted before

    readme.write_text(before)
    monkeypatch.setattr(overview, "write_bytes", write)
    overview.write_overview(workspace.root)
    assert readme.read_text() == before


def test_a_signal_stops_every_training_at_a_checkpoint(workspace: Workspace) -> None:
    slow = "overrides: {slow: [sleep=0.05, steps=600, checkpoint_every=5]}"
    claims = workspace.root / "papers/tiny/claims.yaml"
    text = CLAIM.replace("experiment: second", "experiment: tiny")
    text = text.replace("metric: answer", "metric: test/accuracy")
    claims.write_text(text.replace("overrides: {seven: [answer=7]}", slow))
    process = workspace.start("research-cli", "paper", "reproduce", "tiny", "wrong")
    workspace.wait_for_step(process, 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130
    assert [record["status"] for record in workspace.records()] == ["interrupted"]
    assert not workspace.records("wrong")
