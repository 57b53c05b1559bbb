"""A paper's pinned datasets and models: `train` fetches, links and records them."""

import json
import sys

import pytest
from hub_server import add_repo, running_hub

MODEL = {"config.json": b"{}", "model.safetensors": b"\x02\x00\x00\x00\x00\x00\x00\x00{}"}


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    with running_hub(root) as server:
        yield server, root


class Hub:
    def __init__(self, server, root):
        self.server, self.root = server, root

    def add(self, kind, repo_id, files, **settings):
        return add_repo(self.root, kind, repo_id, files, **settings)


@pytest.fixture
def hub(hub_server, workspace, tmp_path):
    server, root = hub_server
    server.clear()
    workspace.environment |= {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    world = Hub(server, root)
    world.rows = world.add("datasets", "org/rows", {"rows.csv": b"a\n1\n"}, aliases=["rows"])
    world.net = world.add("models", "org/net", MODEL)
    return world


def need(workspace, text):
    """Write needs into the paper's pyproject."""
    pyproject = workspace.root / "papers" / "tiny" / "pyproject.toml"
    old = "[tool.research.generated]"
    pyproject.write_text(pyproject.read_text().replace(old, f"[tool.research]\n{text}\n{old}"))


def test_what_is_needed_is_fetched_linked_and_recorded(workspace, hub):
    need(workspace, f'datasets = ["rows@{hub.rows[:12]}"]\nmodels = ["org/net@{hub.net}"]')
    result = workspace.train()
    record = json.loads((result.folder / "run.json").read_text())
    assert record["assets"]["rows"] == hub.rows
    assert record["assets"]["org/net"] == hub.net
    data = workspace.root / "papers" / "tiny" / "data"
    assert {path.name for path in data.iterdir()} == {"rows", "org--net", "tiny-points"}
    assert (data / "rows" / "rows.csv").read_bytes() == b"a\n1\n"
    told = result.errors.splitlines()
    [before] = [line for line in told if f"dataset rows@{hub.rows[:12]}" in line]
    assert "1 file, 4 B" in before
    assert told.index(before) < min(n for n, line in enumerate(told) if "; licence" in line)
    assert "SECRET" not in result.errors
    hub.server.clear()
    again = workspace.train()
    assert "needs the dataset" not in again.errors
    assert hub.server.requests() == []
    evaluated = workspace.run("evaluate", "--paper", "tiny")
    assert evaluated.code == 0, evaluated.errors


def test_what_is_not_pinned_is_not_read(workspace, hub):
    newer = hub.add("datasets", "org/rows", {"rows.csv": b"a\n2\n"})
    need(workspace, f'datasets = ["rows@{hub.rows}"]')
    code = workspace.root / "papers" / "tiny" / "paper_tiny" / "train.py"
    ask = "    from research_data import pull_dataset\n    print(pull_dataset('{}').folder)\n"
    before = code.read_text()

    def asking(name):
        line = "    data = load(run)\n"
        code.write_text(before.replace(line, ask.format(name) + line))
        return workspace.train()

    assert f"org--rows@{hub.rows[:12]}" in asking("rows").output
    asking(f"rows@{newer}").refused(2, f"rows@{hub.rows[:12]}", "[tool.research]")
    asking("org/rows").refused(2, "[tool.research]")


def test_by_name_a_papers_code_reads_what_is_pinned_or_is_refused(workspace, hub, tmp_path):
    """Another cache of this machine has other rows under the same name."""
    fill = "import datasets; datasets.load_dataset('org/rows')"
    filled = workspace.run_program(sys.executable, "-c", fill)
    assert filled.code == 0, filled.errors
    newer = hub.add("datasets", "org/rows", {"rows.csv": b"a\n2\n"})
    need(workspace, f'datasets = ["rows@{newer}"]\nmodels = ["org/net@{hub.net}"]')
    code = workspace.root / "papers" / "tiny" / "paper_tiny" / "train.py"
    before = code.read_text()

    def asking(line):
        place = "    data = load(run)\n"
        asked = f"    import datasets, huggingface_hub\n    print({line})\n"
        code.write_text(before.replace(place, asked + place))
        return workspace.train()

    asking("datasets.load_dataset('org/rows')").refused(2, "run.asset('rows')", "[tool.research]")
    asking("huggingface_hub.snapshot_download('org/other')").refused(2, "[tool.research]")
    assert asking("datasets.load_dataset(str(run.asset('rows')))['train']['a'][:]").output[:4] == (
        "[2]\n"
    )
    answered = asking("huggingface_hub.snapshot_download('org/net')").output
    assert str(workspace.root / "assets") in answered.splitlines()[0]


def test_two_papers_pin_two_revisions_of_one_dataset(workspace, hub):
    workspace.add_paper("other")
    newer = hub.add("datasets", "org/rows", {"rows.csv": b"a\n2\n"})
    need(workspace, f'datasets = ["rows@{hub.rows}"]')
    pyproject = workspace.root / "papers" / "other" / "pyproject.toml"
    text = pyproject.read_text()
    pyproject.write_text(text + f'\n[tool.research]\ndatasets = ["rows@{newer}"]\n')
    for paper, commit in (("tiny", hub.rows), ("other", newer), ("tiny", hub.rows)):
        result = workspace.train(paper=paper)
        assert json.loads((result.folder / "run.json").read_text())["assets"]["rows"] == commit
        linked = workspace.root / "papers" / paper / "data" / "rows"
        assert linked.resolve().name == f"org--rows@{commit[:12]}"


@pytest.mark.parametrize(
    ("text", "code", "parts"),
    [
        ('datasets = ["rows"]', 2, ["'rows'", "commit"]),
        ('datasets = ["rows@main"]', 2, ["'rows@main'", "commit"]),
        ('datasets = "rows"', 2, ["datasets", "list"]),
        ('datasets = [{ name = "rows@0123456", split = ["x"] }]', 2, ["datasets", "list"]),
        ('datasets = ["rows@0123456789"]', 2, ["rows", "no revision '0123456789'"]),
        ('models = ["org/none@0123456789"]', 2, ["no model 'org/none'"]),
    ],
)
def test_a_need_that_cannot_be_met_starts_no_run(workspace, hub, text, code, parts):
    need(workspace, text)
    workspace.train().refused(code, *parts)
    assert workspace.records() == []


def test_offline_another_revision_is_never_taken_instead(workspace, hub):
    need(workspace, f'datasets = ["rows@{hub.rows}"]')
    assert workspace.train().code == 0
    pyproject = workspace.root / "papers" / "tiny" / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(hub.rows, "f" * 40))
    workspace.environment["HF_HUB_OFFLINE"] = "1"
    hub.server.clear()
    workspace.train().refused(1, f"rows@{'f' * 40} is not here", hub.rows[:12], "pull")
    assert hub.server.requests() == []
    assert len(workspace.records()) == 1
