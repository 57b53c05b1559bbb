"""The archive of a run's code: what is in it, and what never is."""

import hashlib
import os
import subprocess
import tarfile

import pytest
from research_train.code.archive import archive_source

KEY = "hf_" + "aB3" * 12  # as long as a token, and nobody's


@pytest.fixture
def archived(experiment, tmp_path):
    """Name -> content of what an archive of the paper holds now."""

    def look():
        name = archive_source(experiment.member, [], tmp_path / "sources")
        with tarfile.open(tmp_path / "sources" / f"{name}.tar.gz") as archive:
            opened = {entry.name: archive.extractfile(entry) for entry in archive}
            return {name: file.read() for name, file in opened.items() if file is not None}

    return look


def test_a_module_that_git_ignores_is_archived(experiment, archived):
    root = experiment.member.workspace
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (root / ".gitignore").write_text("runs/\n*.csv\n")
    package = experiment.member.folder / "paper_tiny"
    (package / "runs").mkdir()
    (package / "runs" / "__init__.py").write_text("width = 16\n")
    (package / "table.csv").write_text("1\n")
    assert {f"papers/tiny/paper_tiny/{n}" for n in ("runs/__init__.py", "table.csv")} <= set(
        archived()
    )


def test_links_and_clones_in_the_package_are_archived_as_files(experiment, archived, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=experiment.member.workspace, check=True)
    package = experiment.member.folder / "paper_tiny"
    (tmp_path / "table.csv").write_text("1\n")
    (package / "linked.csv").symlink_to(tmp_path / "table.csv")
    for clone in (package / "clone", experiment.member.folder / "vendored"):
        subprocess.run(["git", "init", "-q", clone], check=True)
        (clone / "words.txt").write_text("one\n")
    found = archived()
    assert found["papers/tiny/paper_tiny/linked.csv"] == b"1\n"
    assert found["papers/tiny/paper_tiny/clone/words.txt"] == b"one\n"
    assert found["papers/tiny/vendored/words.txt"] == b"one\n"
    assert not [name for name in found if "/.git/" in name]


def test_what_python_compiles_is_no_source_though_git_does_not_ignore_it(experiment, archived):
    subprocess.run(["git", "init", "-q"], cwd=experiment.member.workspace, check=True)
    compiled = experiment.member.folder / "paper_tiny" / "__pycache__" / "train.cpython-311.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    assert [entry for entry in archived() if entry.endswith(".pyc")] == []


def test_a_hook_of_another_repository_changes_nothing(experiment, archived, monkeypatch, tmp_path):
    root = experiment.member.workspace
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    (experiment.member.folder / "notes.txt").write_text("of the paper\n")
    before = archived()
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other/.git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other/index"))
    assert archived() == before


def test_equal_code_is_archived_once(experiment, tmp_path):
    sources = tmp_path / "sources"
    names = [archive_source(experiment.member, [], sources) for _ in range(2)]
    assert names[0] == names[1]
    assert [path.name for path in sources.iterdir()] == [f"{names[0]}.tar.gz"]


def test_what_the_archive_of_equal_code_is_called_is_kept_but_not_its_bytes(experiment, tmp_path):
    names = set()
    for folder in ("first", "second"):  # of two assets folders, and after it was removed
        for _ in range(2):
            names.add(name := archive_source(experiment.member, [], tmp_path / folder))
            [file] = (tmp_path / folder).iterdir()
            assert hashlib.sha256(file.read_bytes()).hexdigest() == name
            file.unlink()
    assert len(names) == 1
    script = experiment.member.folder / "paper_tiny" / "train.py"
    script.chmod(script.stat().st_mode | 0o100)
    assert archive_source(experiment.member, [], tmp_path / "first") not in names


def test_an_archive_used_again_is_as_young_as_a_new_one(experiment, tmp_path):
    path = tmp_path / f"{archive_source(experiment.member, [], tmp_path)}.tar.gz"
    written = path.stat()
    os.utime(path, (0, 0))
    archive_source(experiment.member, [], tmp_path)
    assert path.stat().st_mtime >= written.st_mtime
    assert path.stat().st_ino == written.st_ino  # nothing was written again


def test_data_and_compiled_files_are_not_archived(experiment, archived, tmp_path):
    folder = experiment.member.folder
    (folder / "data").symlink_to(tmp_path)
    (folder / "paper_tiny" / "__pycache__").mkdir(exist_ok=True)
    (folder / "paper_tiny" / "__pycache__" / "train.pyc").write_bytes(b"x")
    names = list(archived())
    assert "papers/tiny/paper_tiny/train.py" in names
    assert "pyproject.toml" in names
    assert not [name for name in names if "data" in name.split("/")[-1:] or "pyc" in name]


@pytest.mark.parametrize("with_git", [True, False])
def test_a_secret_is_left_out_by_name_or_content_and_said(experiment, archived, capsys, with_git):
    root, folder = experiment.member.workspace, experiment.member.folder
    if with_git:
        subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    secrets = {
        ".env": "PASSWORD=1\n",
        "id_rsa": "x\n",
        "paper_tiny/server.pem": "x\n",
        "paper_tiny/credentials.json": "{}\n",
        "paper_tiny/notes.txt": f"the key is {KEY}\n",
        "key.txt": "-----BEGIN OPENSSH PRIVATE KEY-----\n" + "Ab1" * 20 + "\n-----END",
    }
    if not with_git:
        del secrets[".env"]  # hidden files are only archived where git lists them
    for name, text in secrets.items():
        (folder / name).write_text(text)
    kept = ("paper_tiny/tokenizer.json", "paper_tiny/keys.py", "token_counts.csv", "env.example")
    for name in kept:
        (folder / name).write_text("{}\n")
    found = archived()
    assert not [name for name in secrets if f"papers/tiny/{name}" in found]
    assert not [name for name in kept if f"papers/tiny/{name}" not in found]
    said = capsys.readouterr().err
    assert all(f"papers/tiny/{name}" in said for name in secrets)
    assert KEY not in said and said.count("\n") == 1


def test_a_token_in_code_is_starred_so_that_the_archive_still_runs(experiment, archived, capsys):
    file = experiment.member.folder / "paper_tiny/hub.py"
    file.write_text(f"KEY = {KEY!r}\n")
    content = archived()["papers/tiny/paper_tiny/hub.py"]
    assert KEY.encode() not in content
    compile(content, "hub.py", "exec")
    said = capsys.readouterr().err
    assert "papers/tiny/paper_tiny/hub.py" in said and "token" in said


def test_what_git_tracks_stays_whatever_it_is_called(experiment, archived):
    root = experiment.member.workspace
    (experiment.member.folder / ".env").write_text("THREADS=1\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-f", "papers/tiny/.env"], cwd=root, check=True)
    assert archived()["papers/tiny/.env"] == b"THREADS=1\n"


def test_a_name_that_is_not_utf8_stops_no_training(workspace):
    subprocess.run(["git", "init", "-q"], cwd=workspace.root, check=True)
    package = workspace.root / "papers/tiny/paper_tiny"
    name = os.fsdecode(b"caf\xe9.txt")
    (package / name).write_text("1\n")
    (package.parent / name).write_text("1\n")
    run = workspace.train("second", "answer=7").folder
    assert run.is_dir()
    (package / name).write_text("2\n")
    assert workspace.train("second", "answer=7").code == 0
    first, second = workspace.records()
    assert first["fingerprint"] != second["fingerprint"]
    compared = workspace.run("research-cli", "run", "compare", first["id"], second["id"])
    assert compared.code == 0, compared.errors
    assert r"caf\xe9.txt" in compared.output
