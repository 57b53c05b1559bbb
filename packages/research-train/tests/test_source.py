"""What a fingerprint notices, and what it doesn't."""

import json
import os
import subprocess
import sys
import tarfile

import pytest
from research_train import load_config
from research_train.source import archive_source, fingerprint

ASSETS = {"tiny-points": "0123456789ab"}


@pytest.fixture
def identity(experiment):
    """The fingerprint of the experiment as it is now."""

    def compute(*words, assets=ASSETS):
        return fingerprint(experiment, load_config(experiment, words), assets)

    return compute


def test_it_is_stable(identity):
    assert identity() == identity()


@pytest.mark.parametrize(
    "word", ["seed=9", "log_every=1", "tensorboard=true", "checkpoint_every=2", "wandb=offline"]
)
def test_what_cannot_change_a_number_does_not_count(identity, word):
    assert identity() == identity(word)


@pytest.mark.parametrize("word", ["steps=9", "optimizer.learning_rate=1", "precision=bfloat16"])
def test_what_can_change_a_number_counts(identity, word):
    assert identity() != identity(word)


def test_the_revision_of_the_data_counts(identity):
    assert identity() != identity(assets={"tiny-points": "ba9876543210"})


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("paper_tiny/train.py", True),
        ("paper_tiny/new.py", True),
        ("tests/test_tiny.py", False),
        ("README.md", False),
        ("claims.yaml", False),
    ],
)
def test_code_counts_and_prose_does_not(identity, experiment, file, counts):
    before = identity()
    path = experiment.member.folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{path.read_text() if path.exists() else ''}\n# changed\n")
    assert (identity() != before) is counts


def test_the_versions_it_depends_on_count(identity, workspace):
    workspace.require("other")
    other = workspace.site / "other-1.0.dist-info" / "METADATA"
    other.parent.mkdir()
    other.write_text("Metadata-Version: 2.3\nName: other\nVersion: 1.0\n")
    before = identity()
    other.write_text(other.read_text().replace("1.0", "1.1"))
    assert identity() != before


def test_a_module_that_git_ignores_counts_and_is_archived(identity, experiment, tmp_path):
    root = experiment.member.workspace
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("runs/\n")
    module = experiment.member.folder / "paper_tiny" / "runs" / "__init__.py"
    module.parent.mkdir()
    module.write_text("width = 16\n")
    before = identity()
    module.write_text("width = 17\n")
    assert identity() != before
    name = archive_source(experiment.member, [], tmp_path / "sources")
    with tarfile.open(tmp_path / "sources" / f"{name}.tar.gz") as archive:
        assert "papers/tiny/paper_tiny/runs/__init__.py" in archive.getnames()


def test_what_python_compiles_is_no_source_though_git_does_not_ignore_it(experiment, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=experiment.member.workspace, check=True)
    compiled = experiment.member.folder / "paper_tiny" / "__pycache__" / "train.cpython-311.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    name = archive_source(experiment.member, [], tmp_path / "sources")
    with tarfile.open(tmp_path / "sources" / f"{name}.tar.gz") as archive:
        assert [entry for entry in archive.getnames() if entry.endswith(".pyc")] == []


def packages(experiment):
    """Put two shared packages into the workspace; `used` is what the paper may import."""
    root = experiment.member.workspace / "packages"
    for name in ("research-used", "research-unused"):
        folder = root / name / "src" / name.replace("-", "_")
        folder.mkdir(parents=True)
        (root / name / "pyproject.toml").write_text(f'[project]\nname = "{name}"\n')
        (folder / "__init__.py").write_text("")
    return {name: root / f"research-{name}" / "src" for name in ("used", "unused")}


def test_only_internal_packages_that_are_imported_count(identity, experiment, monkeypatch):
    sources = packages(experiment)
    for source in sources.values():
        monkeypatch.syspath_prepend(str(source))
    train = experiment.member.folder / "paper_tiny" / "train.py"
    text = train.read_text()
    train.write_text(
        text.replace("def load(", "def late():\n    import research_used\n\n\ndef load(")
    )
    before = identity()
    (sources["unused"] / "research_unused" / "__init__.py").write_text("changed = 1\n")
    assert identity() == before
    (sources["used"] / "research_used" / "__init__.py").write_text("changed = 1\n")
    assert identity() != before


def test_a_shared_packages_late_imports_do_not_count(identity, experiment, monkeypatch):
    sources = packages(experiment)
    for source in sources.values():
        monkeypatch.syspath_prepend(str(source))
    train = experiment.member.folder / "paper_tiny" / "train.py"
    train.write_text(f"import research_used\n{train.read_text()}")
    (sources["used"] / "research_used" / "__init__.py").write_text(
        "def draw():\n    import research_unused\n"
    )
    before = identity()
    (sources["unused"] / "research_unused" / "__init__.py").write_text("changed = 1\n")
    assert identity() == before


def test_equal_code_is_archived_once(experiment, tmp_path):
    sources = tmp_path / "sources"
    names = [archive_source(experiment.member, [], sources) for _ in range(2)]
    assert names[0] == names[1]
    assert [path.name for path in sources.iterdir()] == [f"{names[0]}.tar.gz"]


def test_an_archive_used_again_is_as_young_as_a_new_one(experiment, tmp_path):
    path = tmp_path / f"{archive_source(experiment.member, [], tmp_path)}.tar.gz"
    written = path.stat()
    os.utime(path, (0, 0))
    archive_source(experiment.member, [], tmp_path)
    assert path.stat().st_mtime >= written.st_mtime
    assert path.stat().st_ino == written.st_ino  # nothing was written again


def test_data_and_compiled_files_are_not_archived(experiment, tmp_path):
    folder = experiment.member.folder
    (folder / "data").symlink_to(tmp_path)
    (folder / "paper_tiny" / "__pycache__").mkdir(exist_ok=True)
    (folder / "paper_tiny" / "__pycache__" / "train.pyc").write_bytes(b"x")
    name = archive_source(experiment.member, [], tmp_path / "sources")
    with tarfile.open(tmp_path / "sources" / f"{name}.tar.gz") as archive:
        names = archive.getnames()
    assert "papers/tiny/paper_tiny/train.py" in names
    assert "pyproject.toml" in names
    assert not [name for name in names if "data" in name.split("/")[-1:] or "pyc" in name]


def test_another_process_is_told_the_fingerprint_of_the_runs_there_would_be(workspace):
    run = workspace.train("second", "answer=7").folder
    record = json.loads((run / "run.json").read_text())
    asked = json.dumps(
        [
            {"experiment": "tiny.second", "overrides": ["answer=7", "seed=5"]},
            {"experiment": "tiny.second", "overrides": [], "more": "from a newer version"},
        ]
    )
    command = [sys.executable, "-m", "research_train.fingerprints", "--paper", "tiny"]
    done = subprocess.run(
        command, input=asked, env=workspace.environment, capture_output=True, text=True, check=True
    )
    same, other = json.loads(done.stdout)
    assert same["fingerprint"] == record["fingerprint"] != other["fingerprint"]
    assert same["assets"] == record["assets"]
    assert (same["config"]["answer"], same["config"]["seed"]) == (7, 5)
    wrong = subprocess.run(
        command,
        input='[{"experiment": "tiny.second", "overrides": ["answr=7"]}]',
        env=workspace.environment,
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2 and "answer" in wrong.stderr and "Traceback" not in wrong.stderr
