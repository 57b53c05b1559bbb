"""`research-cli report` as a user types it, over a tiny paper with claims and real runs."""

import base64
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from research_cli.report.curves import curve_figures
from research_cli.report.member import ShownMember, shown_member
from research_cli.report.pictures import PNG
from research_train.claims.claim import judge, read_claims
from research_train.experiment.workspace_members import TRAINABLE, workspace_members
from research_train.record.summary import summarise
from research_train.results.rows import claims_rows
from workspaces import Workspace

TITLE = 'Tiny <script>alert(1)</script> & "co"'
CLAIMS = """
source: Table <b>1</b>
claims:
  - {name: accuracy, what: Accuracy of tiny., kind: value, published: 0.9, unit: "%",
     tolerance: 0.2, reason: made up, metric: test/accuracy, seeds: 2}
  - {name: missing, what: Never run., kind: value, published: 1, tolerance: 0.1, reason: made up,
     metric: test/accuracy, known_gap: {value: 2, evidence: the authors' <i>code</i>}}
"""


class Page(HTMLParser):
    """What a browser would make of a page: words, elements, what is loaded or linked."""

    def __init__(self, text: str):
        super().__init__()
        self.text = text
        self.words = ""
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self._inside: str | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = tag
        for key, value in attributes:
            if key in ("src", "href", "srcset", "action", "xlink:href", "data") and value:
                self.addresses.append(value)
            if key == "id" and value:
                self.ids.append(value)

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.words += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = None


def judged(paper: Path, values: list[float]) -> dict[str, Any]:
    """What `reproduce` would record of the paper's first claim."""
    found = judge(read_claims(paper).claims[0], values)
    numbers = {"mean": found.mean, "interval": list(found.interval), "verdict": found.verdict}
    return {**numbers, "n": len(values), "values": values}


class Reports:
    def __init__(self, folder: Path):
        self.workspace = Workspace(folder / "workspace")
        self.paper = self.workspace.add_paper()
        (self.paper / "claims.yaml").write_text(CLAIMS)
        file = self.paper / "pyproject.toml"
        file.write_text(
            f"{file.read_text()}\n[tool.research]\ntitle = {json.dumps(TITLE)}\n"
            'year = 2020\narxiv = "2011.14439"\nauthors = ["A. <u>Person</u>", "B. Other"]\n'
        )
        words = ("--quiet", "tensorboard=false")
        self.runs = [self.workspace.train(*words, f"seed={seed}").folder for seed in (0, 1)]
        result = {
            "name": "accuracy",
            "published": 0.9,
            "runs": [run.name for run in self.runs],
            **judged(self.paper, [0.84, 0.86]),
        }
        self.results = {
            "schema": 1,
            "source": "Table <b>1</b>",
            "date": "2026-11-24",
            "hardware": "a machine",
            "packages": "torch 2.10.0",
            "claims": [result],
        }
        (self.paper / "results.json").write_text(json.dumps(self.results))

    def __call__(self, *words: str, cwd: Path | None = None) -> Page:
        done = self.workspace.run("research-cli", "report", *words, "--json", cwd=cwd)
        assert done.code == 0, done.errors
        assert "Traceback" not in done.errors
        self.value = json.loads(done.output)
        text = Path(self.value["file"]).read_text(encoding="utf-8")
        assert self.value["bytes"] == len(text.encode())
        page = Page(text)
        inside = ("#", "data:image/png;base64,")
        outside = [address for address in page.addresses if not address.startswith(inside)]
        assert all(address.startswith("https://arxiv.org/abs/") for address in outside)
        assert "url(http" not in text and "@import" not in text
        assert len(page.ids) == len(set(page.ids))
        assert not {"link", "iframe", "object", "b", "i", "u"} & set(page.tags)
        data = [address for address in page.addresses if address.startswith("data:")]
        assert page.tags.count("img") == len(data)
        assert page.tags.count("script") == 1  # ours
        return page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """Shared by the tests, each of which leaves it as it was."""
    return Reports(tmp_path_factory.mktemp("report"))


def test_everything_is_on_one_page_and_escaped(report: Reports) -> None:
    page = report()
    assert report.value["file"] == str(report.workspace.outputs / "report.html")
    assert (report.value["papers"], report.value["runs"], report.value["problems"]) == (1, 2, [])
    for part in (
        TITLE,
        "(2020)",
        "A. <u>Person</u>, B. Other",
        "arXiv 2011.14439",
        "Table <b>1</b>",
        "Accuracy of tiny.",
        "0.9 ± 0.2 %",
        "0.85 ± 0.13 %",
        "● reproduced",
        "○ no evidence",
        "known gap: 2. the authors' <i>code</i>",
        "2026-11-24, on a machine",
        "torch 2.10.0",
        "of 2 seeds",
        "2 runs",
        *(run.name for run in report.runs),
    ):
        assert part in page.words, part
    assert page.addresses.count("https://arxiv.org/abs/2011.14439") == 1
    assert page.tags.count("figure") == 3  # claims, accuracy, loss
    assert "#figure-tiny-0-0" in page.addresses  # the card has the first curve
    assert "default-src 'none'" in page.text
    assert str(report.workspace.root) not in page.text
    assert len(page.text) < 200_000


def test_a_card_says_what_the_paper_says_and_what_it_costs(report: Reports, tmp_path: Path) -> None:
    results = report.paper / "results.json"
    readme = report.paper / "README.md"
    try:
        [result] = report.results["claims"]
        cost = {"run_seconds": 60, "seconds": 120, "tried": 2}
        results.write_text(json.dumps({**report.results, "claims": [{**result, "cost": cost}]}))
        (report.paper.parent / "secret.png").write_bytes(b"secret")
        (report.paper / "loop.png").symlink_to("loop.png")
        (report.paper / "curve.png").write_bytes(b"\x89PNG")
        readme.write_text(
            "# Tiny\n\n## What the paper says\n\nPoints are **told apart** by <b>one</b>\n"
            "[line](https://example.org). The numbers:\n\n| a |\n|---|\n\n## What we did\n\n"
            "![no](../secret.png) ![no](a\x00.png) ![no](loop.png)\n"
            '![no](https://example.org/x.png) ![a "curve"](curve.png)\n'
        )
        page = report("--out", str(tmp_path / "page.html"))
        card = page.words.partition("● reproduced: the interval")[0]  # what the signs mean
        for part in (
            "Points are told apart by <b>one</b> line.",
            "1 ● reproduced",
            "0.85 ± 0.13 %",
            "2 min in 2 runs on a machine",
            "uv run --package paper-tiny reproduce",
        ):
            assert part in card, part
        assert [each for each in page.addresses if "png" in each] == [
            "data:image/png;base64,iVBORw=="
        ]
        assert 'alt="a &#34;curve&#34;"' in page.text
        readme.write_text("# Tiny\n\n## What the paper says\n\n*In a paragraph: the claim.*\n")
        assert "In a paragraph" not in report("--out", str(tmp_path / "page.html")).words
    finally:
        readme.unlink(missing_ok=True)
        results.write_text(json.dumps(report.results))


def test_the_newest_picture_of_each_name_is_shown(report: Reports, tmp_path: Path) -> None:
    whole, older = report("--out", str(tmp_path / "page.html")), report.runs[0]
    assert not [each for each in whole.addresses if "png" in each]
    assert "Pictures" not in whole.words

    def log(run: Path, name: str, step: int, content: bytes) -> None:
        file = Path("media", name, f"step-{step:08}.png")
        (run / file).parent.mkdir(parents=True, exist_ok=True)
        (run / file).write_bytes(content)
        line = {"step": step, "time": 1.0, "name": name, "file": file.as_posix()}
        with (run / "media.jsonl").open("a") as index:
            index.write(json.dumps(line) + "\n")

    try:
        for run, name, step, end in (
            (older, "samples", 30, b"old"),
            (older, "<b>drawn</b>", 5, b"drawn"),
            (report.runs[1], "samples", 10, b"first"),
            (report.runs[1], "samples", 20, b"last"),
            (report.runs[1], "large", 1, bytes(300_000)),
        ):
            log(run, name, step, PNG + end)
        log(older, "text", 1, b"<svg onload=alert(1)>")
        page = report("--out", str(tmp_path / "page.html"))
        shown = [each.partition(",")[2] for each in page.addresses if each.startswith("data:")]
        assert shown == [base64.b64encode(PNG + end).decode() for end in (b"last", b"drawn")]
        assert f"step 20 of {report.runs[1].name}" in page.words
        assert "not shown: " in page.words and ": large" in page.words
        for number in range(7):
            log(older, f"more{number}", 1, PNG)
        page = report("--out", str(tmp_path / "page.html"))
        assert page.tags.count("img") == 6
        assert "more4, more5, more6" in page.words
    finally:
        for run in report.runs:
            shutil.rmtree(run / "media", ignore_errors=True)
            (run / "media.jsonl").unlink(missing_ok=True)


def test_damaged_runs_results_and_claims_are_named_on_the_page(
    report: Reports, tmp_path: Path
) -> None:
    bad = report.workspace.outputs / "tiny" / "20260101-000000.000-seed9"
    stray = report.workspace.outputs / "gone" / "20260101-000000.000-seed9"
    results = report.paper / "results.json"
    try:
        bad.mkdir()
        (bad / "run.json").write_text('{"id": "<script>')
        shutil.copytree(report.runs[0], stray)
        (stray / "metrics.jsonl").write_bytes(b"\xff\x00 no JSON")
        results.write_text(json.dumps({**report.results, "claims": [{"name": "accuracy"}]}))
        page = report("--out", str(tmp_path / "new folder" / "page.html"))
        assert f"run tiny/{bad.name}: damaged" in page.words and "unreadable" in page.words
        [broken] = [line for line in report.value["problems"] if "results.json" in line]
        assert "tiny/results.json" in broken and "claims.0.published: " in broken
        assert broken in page.words
        assert "among the runs of gone" in page.words
        assert len(report.value["problems"]) == 2
        assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["page.html"]
        results.write_text("{")
        (report.paper / "claims.yaml").write_text("claims: [")
        page = report("--out", str(tmp_path / "page.html"))
        assert "claims.yaml" in page.words and "No claims" in page.words
    finally:
        shutil.rmtree(bad)
        shutil.rmtree(stray.parent)
        results.write_text(json.dumps(report.results))
        (report.paper / "claims.yaml").write_text(CLAIMS)


def test_a_claim_is_shown_as_its_values_give_today(report: Reports, tmp_path: Path) -> None:
    results = report.paper / "results.json"
    claims = report.paper / "claims.yaml"
    pyproject = report.paper / "pyproject.toml"
    before = pyproject.read_text()
    [result] = report.results["claims"]

    def facts() -> ShownMember:
        [member] = workspace_members(report.workspace.root, TRAINABLE, unread=True)
        return shown_member(member)

    try:
        edited = {**result, "mean": 0.91, "interval": [0.9, 0.92], "verdict": "better"}
        results.write_text(json.dumps({**report.results, "claims": [edited]}))
        found = facts()
        says = "says mean 0.91, interval 0.9 to 0.92, better; its values give mean 0.85, "
        assert f"tiny/results.json: claim accuracy: {says}" in found.problems[0]
        shown = found.claims[0]
        assert (shown.verdict, shown.reproduced) == ("reproduced", "0.85 ± 0.13 %")
        assert says in shown.note

        results.write_text(
            json.dumps({**report.results, "claims": [{**result, "values": [0.84, 0.96]}]})
        )
        note = facts().claims[0].note
        assert "about 6 seeds would decide" in note and "results.json" in note
        results.write_text(json.dumps({**report.results, "claims": [edited]}))

        # An ordering is as in the README's table, where only the sign counts.
        ordering = CLAIMS.replace("kind: value, published: 0.9", "kind: ordering, published: 0.03")
        claims.write_text(
            ordering.replace("seeds: 2", "seeds: 3, overrides: {a: [steps=1], b: [steps=2]}", 1)
        )
        shown = facts().claims[0]
        [row] = claims_rows([judge(read_claims(report.paper).claims[0], [0.84, 0.86])])
        assert [shown.name, shown.published, shown.reproduced, str(shown.seeds)] == row[:4]
        assert "2 seeds" in shown.note and "claims.yaml asks for 3" in shown.note

        # Runs, and so the report, call a paper as its experiments do.
        results.write_text(json.dumps({**report.results, "claims": [{**result, "values": [0.84]}]}))
        pyproject.write_text(before.replace('"tiny.', '"small.').replace("\ntiny =", "\nsmall ="))
        page = report("small", "--out", str(tmp_path / "page.html"))
        assert "papers/tiny · 0 runs" in page.words and "No runs here yet" in page.words
        assert "◌ stale" in page.words and "values of 1 seed" in page.words
        pyproject.write_text("[project")
        assert "tiny/pyproject.toml: " in facts().problems[0] and "TOML" in facts().problems[0]
    finally:
        pyproject.write_text(before)
        results.write_text(json.dumps(report.results))
        claims.write_text(CLAIMS)


def test_seeds_trials_and_metrics_that_are_not_drawn_are_counted(
    report: Reports, tmp_path: Path
) -> None:
    runs = [*report.runs]
    for number in range(2, 37):
        run = shutil.copytree(
            report.runs[0], tmp_path / f"20300101-0000{number:02}.000-seed{number}"
        )
        runs.append(run)
        for file, old, new in (
            ("run.json", f'"id": "{report.runs[0].name}"', f'"id": "{run.name}"'),
            ("run.json", '"seed": 0', f'"seed": {number}'),
        ):
            text = (run / file).read_text()
            assert old in text
            (run / file).write_text(text.replace(old, new))
    config = runs[-1] / "config.yaml"
    config.write_text(re.sub(r"(?m)^steps: \d+", "steps: 1", config.read_text()))
    [member] = workspace_members(report.workspace.root, TRAINABLE)
    facts = replace(shown_member(member), results=None)
    first, *_ = curve_figures(facts, list(map(summarise, runs[2:] + runs[:2])), [])
    assert first.remark.startswith("not drawn: ")
    seeds, trials, metrics = first.remark.removeprefix("not drawn: ").split("; ")
    assert "seeds beyond 32" in seeds and seeds.endswith(": 4")
    assert "less than a tenth of the steps" in trials and trials.endswith(": 1")
    assert metrics == "metrics: train/gradient_norm, train/learning_rate"


def test_papers_are_chosen_by_name(report: Reports, tmp_path: Path) -> None:
    page = report("paper-tiny", "--out", str(tmp_path / "page.html"))
    assert "Accuracy of tiny." in page.words
    refused = report.workspace.run("research-cli", "report", "tinny")
    assert refused.code == 1 or refused.code == 2
    assert "'tinny'" in refused.errors and "'tiny'?" in refused.errors


def test_evidence_made_elsewhere_is_no_problem_of_a_fresh_clone(
    research_cli: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    done = research_cli("report", "amsgrad", "--json")
    written = json.loads(done.stdout)
    assert (written["problems"], written["elsewhere"]) == ([], ["amsgrad"])
    assert "warning" not in done.stderr and "amsgrad" in done.stderr


def test_a_workspace_with_nothing_in_it(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    done = workspace.run("research-cli", "report")
    assert done.code == 0, done.errors
    counts, file = done.output.splitlines()
    assert counts.startswith("0 papers, 0 projects, 0 runs; ")
    page = Page(Path(file).read_text(encoding="utf-8"))
    assert "No papers and no projects" in page.words
    assert "No runs" in page.words


def test_the_help_of_report_imports_neither_torch_nor_matplotlib() -> None:
    program = (
        "import sys; from research_cli.app import app; app(['report', '--help'], "
        "standalone_mode=False); print({'torch', 'matplotlib', 'jinja2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"
