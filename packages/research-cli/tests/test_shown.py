"""Other people's words on a terminal and a page: nothing in them steers either."""

import json
from pathlib import Path

import pytest
from research_data.shown import brief, printable
from workspaces import Workspace

# Clears the screen, rings, forges a row, goes back, turns the line around; and rich's markup.
EVIL = "\x1b[2J\a\nforged row\r\u202eevil\u2028 [bold]not markup[/bold] | pipe <b>"
SAFE = "\\x1b[2J\\x07\\nforged row\\r\\u202eevil\\u2028 [bold]not markup[/bold] | pipe <b>"


@pytest.fixture
def run(tmp_path: Path) -> tuple[Workspace, Path]:
    """A workspace with one run, everything in whose record is EVIL."""
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    folder = workspace.train("second", "--quiet").folder
    record = json.loads((folder / "run.json").read_text())
    record |= {"name": EVIL, "note": EVIL, "tags": [EVIL], "experiment": EVIL, "group": EVIL}
    record |= {"command": [EVIL], "metrics": {EVIL: 1.0}, "parent": EVIL}
    record |= {"error": {"type": EVIL, "message": EVIL}, "status": "failed"}
    record["environment"] |= {"cpu": EVIL, EVIL: EVIL}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "metrics.jsonl").write_text(json.dumps({"step": 1, "time": 1.0, EVIL: 0.5}) + "\n")
    (folder / EVIL.replace("/", "")).write_text("")
    return workspace, folder


@pytest.mark.parametrize(
    "words", [["list"], ["show"], ["compare"], ["watch"], ["note"], ["tag"], ["plot"]]
)
def test_nothing_in_a_record_steers_a_terminal(
    run: tuple[Workspace, Path], words: list[str]
) -> None:
    workspace, folder = run
    if words == ["compare"]:
        words = ["compare", workspace.train("second", "--quiet").folder.name]
    more = {"note": [EVIL], "tag": [EVIL + "2"]}.get(words[0], [])
    named = [] if words == ["list"] else [folder.name]
    result = workspace.run("research-cli", "run", *words, *named, *more)
    said = result.output + result.errors
    assert "Traceback" not in said
    assert not set(said) & set("\x1b\a\r\u202e\u2028")
    assert not [line for line in said.splitlines() if line.startswith("forged row")]
    if words[0] not in ("plot",):
        assert SAFE.replace("/", "") in said.replace("/", "")


def test_nor_a_page(run: tuple[Workspace, Path]) -> None:
    workspace, _ = run
    page = workspace.root / "report.html"
    result = workspace.run("research-cli", "report", "--out", str(page))
    assert result.code == 0, result.errors
    text = page.read_text(encoding="utf-8")
    assert [c for c in text if c in "\x1b\a\r\u202e\u2028"] == []
    assert "pipe <b>" not in text


def test_an_error_shows_names_as_they_are(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.add_paper()
    for words in (["run", "show", EVIL], ["run", "list", "--status", EVIL]):
        result = workspace.run("research-cli", *words)
        assert result.code in (1, 2)
        assert not set(result.errors) & set("\x1b\a\r\u202e\u2028")


def test_values_in_a_sentence_are_short() -> None:
    assert brief("a" * 5000) == "'" + "a" * 84 + "..." + "a" * 11 + "'"
    assert brief(10**5000) == "a number of 5001 digits"
    assert brief("\x1b") == "'\\x1b'"
    assert printable("naïve 数") == "naïve 数"
