"""`research-cli paper new` and `project new`: all that is promised of a new member, or nothing."""

import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from new_members import HERE, NewMembers
from research_cli.paper.names import check_arxiv, check_name, check_year
from research_cli.paper.templates import NewMember, fill_in, read_uses
from research_data import UsageError, this_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> NewMembers:
    return NewMembers(tmp_path / "workspace")


def test_a_new_paper_passes_its_test_and_is_listed_and_checked(workspace: NewMembers) -> None:
    words = ["--docker", "--title", 'A "first" try', "--arxiv", "2201.02177", "--year", "2022"]
    made = workspace.research_cli("paper", "new", "first-try", *words, "--uses", "models,viz")
    assert made.splitlines()[1:] == [
        "  uv run pytest papers/first-try",
        "  uv run --package paper-first-try train",
        "  uv run --package paper-first-try reproduce",
    ]
    workspace.see_packages()
    paper = workspace.root / "papers" / "first-try"
    assert "2 passed" in workspace.python("-m", "pytest", "-q", "papers/first-try")

    assert "paper-first-try" in (paper / "docker" / "Dockerfile").read_text()

    config = paper / "config.yaml"
    config.write_text(config.read_text() + "learning_rat: 1\n")
    unknown, note = workspace.inside("paper", "check", code=1).splitlines()
    assert unknown.startswith("papers/first-try/config.yaml: ")
    assert "'learning_rat' = 1" in unknown and "'learning_rate'?" in unknown
    assert note.startswith("note: first-try: ")
    assert "`uv run --package paper-first-try reproduce`" in note
    [row] = json.loads(workspace.research_cli("paper", "list", "--json"))["papers"]
    assert (row["title"], row["year"], row["arxiv"]) == ('A "first" try', 2022, "2201.02177")
    assert (row["verdicts"], row["last_run"]) == (None, None)


def test_a_new_project_with_a_notebook_is_listed_as_one(workspace: NewMembers) -> None:
    import nbformat  # 2 seconds, which every worker would wait for

    workspace.research_cli("project", "new", "pruning", "--notebook")
    project = workspace.root / "projects" / "pruning"
    debug = json.loads((project / ".vscode" / "launch.json").read_text())["configurations"][0]
    assert debug["args"][:2] == ["--paper", "pruning"] and debug["env"] == {"PYTHONHASHSEED": "0"}
    nbformat.validate(nbformat.read(project / "notebooks" / "runs.ipynb", 4))
    assert not (project / "claims.yaml").exists()
    [row] = json.loads(workspace.research_cli("paper", "list", "--json"))["papers"]
    assert (row["name"], row["kind"], row["last_run"]) == ("pruning", "project", None)
    workspace.run("uv", "lock", "--check")


def test_a_note_is_a_dated_experiment_of_a_project(workspace: NewMembers) -> None:
    note = ("project", "note", "label-noise")
    assert "project new exploratory" in workspace.research_cli(*note, code=2)
    workspace.research_cli("project", "new", "exploratory")
    before = (workspace.root / "projects" / "exploratory" / "pyproject.toml").read_text()
    made = json.loads(workspace.research_cli(*note, "--question", "Does it learn", "--json"))
    folder = Path(made["folder"])
    assert folder.parent == workspace.root / "projects" / "exploratory" / "experiments"
    assert folder.name.startswith("exploratory_label_noise_20")
    assert made["next"] == ["uv run --package project-exploratory train label-noise"]
    assert "taken" in workspace.research_cli(*note, code=2)
    workspace.research_cli("project", "note", "Label_noise", code=2)
    after = (folder.parents[1] / "pyproject.toml").read_text()
    assert [line for line in before.splitlines() if line not in after][1:] == []  # module-name
    assert "| `label-noise` | Does it learn. |" in (folder.parents[1] / "README.md").read_text()
    workspace.see_packages()
    workspace.inside("paper", "check")
    trained = workspace.run(".venv/bin/train", "--paper", "exploratory", "label-noise", "steps=2")
    assert "-seed0" in trained


def test_a_paper_is_removed_unless_something_rests_on_it(workspace: NewMembers) -> None:
    workspace.research_cli("paper", "new", "first")
    remove = ("paper", "remove", "first")
    paper, readme = workspace.root / "papers" / "first", workspace.root / "README.md"
    would = workspace.research_cli(*remove)
    assert "would be moved" in would and "first-points" in would and "--yes" in would
    assert "Did you mean 'first'?" in workspace.research_cli("paper", "remove", "frist", code=2)
    readme.write_text("as in [the first](papers/first/README.md)")
    (paper / "results.json").write_text("{")
    for more in ((), ("--yes",)):
        said = workspace.research_cli(*remove, *more, code=1)
        assert "README.md" in said and "--force" in said
    before = (workspace.root / "uv.lock").read_bytes()
    needs = workspace.root / "packages" / "research-data" / "pyproject.toml"
    good = needs.read_text()
    needs.write_text(good.replace("[tool", 'dependencies = ["no-such-thing-here"]\n\n[tool', 1))
    assert "the lock" in workspace.research_cli(*remove, "--yes", "--force", code=1)
    needs.write_text(good)
    assert paper.is_dir() and (workspace.root / "uv.lock").read_bytes() == before
    gone = json.loads(workspace.research_cli(*remove, "--yes", "--force", "--json"))
    assert not paper.exists() and (Path(gone["target"]) / "results.json").read_text() == "{"
    workspace.run("uv", "lock", "--check")
    assert "no papers yet" in workspace.research_cli("paper", "list")
    listed = workspace.run("uv", "pip", "list")
    assert "paper-first" not in listed


def test_where_the_lock_fails_nothing_is_left(workspace: NewMembers) -> None:
    workspace.run("uv", "lock")
    before = (workspace.root / "uv.lock").read_bytes()
    needs = workspace.root / "packages" / "research-data" / "pyproject.toml"
    broken = needs.read_text().replace("[tool", 'dependencies = ["no-such-thing-here"]\n\n[tool', 1)
    needs.write_text(broken)
    said = workspace.research_cli("paper", "new", "lost", code=1)
    assert said.startswith("error: ") and "no-such-thing-here" in said
    assert (workspace.root / "uv.lock").read_bytes() == before
    assert not list((workspace.root / "papers").iterdir())


def test_killed_at_any_moment_every_other_member_runs_and_it_can_be_made_again(
    workspace: NewMembers,
) -> None:
    workspace.research_cli("paper", "new", "other")
    frozen = ("uv", "run", "--frozen", "--package", "paper-other", "python", "-c", "print(1)")
    lock = workspace.root / "uv.lock"
    before = lock.read_bytes()
    partial, folder = workspace.root / ".paper-killed.partial", workspace.root / "papers" / "killed"
    places = {
        "files are written": partial.exists,
        "files lie there": (partial / "pyproject.toml").exists,
        "the lock is new": lambda: lock.read_bytes() != before,
        "the folder is there": folder.exists,
    }
    states = set()
    for place, after in [(place, after) for place in places for after in (0.0, 0.05, 0.2)]:
        process = subprocess.Popen(
            [HERE / "research-cli", "paper", "new", "killed"],
            cwd=workspace.root,
            env=workspace.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not places[place]():
            assert process.poll() is None and time.monotonic() < deadline, place
        with suppress(subprocess.TimeoutExpired):
            process.wait(after)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        states.add((partial.exists(), lock.read_bytes() != before, folder.exists()))
        assert workspace.run(*frozen) == "1\n"
        if folder.exists():
            workspace.run("uv", "lock", "--check")
            shutil.rmtree(folder)  # as a person who doesn't want it does
            lock.write_bytes(before)
    assert {there for _, _, there in states} == {False, True}
    assert all(locked or not there for _, locked, there in states)
    workspace.research_cli("paper", "new", "killed")
    workspace.run("uv", "lock", "--check")
    assert not list(workspace.root.glob(".*.partial"))


def test_a_member_that_only_the_lock_knows_can_be_made(workspace: NewMembers) -> None:
    """As a kill between the lock and the folder leaves it."""
    workspace.research_cli("paper", "new", "other")
    workspace.research_cli("paper", "new", "killed")
    (workspace.root / "papers" / "killed").rename(workspace.root / ".paper-killed.partial")
    workspace.run("uv", "run", "--frozen", "--package", "paper-other", "python", "-c", "")
    workspace.research_cli("paper", "new", "killed")
    workspace.run("uv", "lock", "--check")


def test_two_at_once_are_both_in_the_lock(workspace: NewMembers) -> None:
    processes = [
        subprocess.Popen(
            [HERE / "research-cli", "paper", "new", name],
            cwd=workspace.root,
            env=workspace.environment,
            stdout=subprocess.DEVNULL,
        )
        for name in ("one", "two")
    ]
    assert [process.wait(120) for process in processes] == [0, 0]
    workspace.run("uv", "lock", "--check")
    assert {path.name for path in (workspace.root / "papers").iterdir()} == {"one", "two"}


def test_a_usage_error_is_one_line_and_exit_code_2(workspace: NewMembers) -> None:
    said = workspace.research_cli("paper", "new", "x", "--uses", "data,modls", code=2)
    assert said.startswith("error: --uses data,modls: ") and said.count("\n") == 1
    for part in ("research-modls", "'models'", "data, models, train, viz"):
        assert part in said
    assert not (workspace.root / "papers").exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("mnist1d", "papers/mnist1d .*already"),
        ("exploratory", "projects/exploratory .*already"),
        ("torch", "uv.lock .*torch"),
        ("paper-x", "'paper-'.* `x` .*paper-x"),
        ("x_y", "'x-y'"),
        ("größe", "a to z, digits"),
        ("../x", "path.*papers/NAME"),
        ("/x", "path.*papers/NAME"),
        ("", "empty"),
        ("-x", "'x'"),
        ("x" * 41, "41 characters.* 40 "),
    ],
)
def test_an_invalid_or_taken_name_is_refused_with_the_reason(name: str, part: str) -> None:
    workspace = this_workspace()
    assert workspace is not None
    with pytest.raises(UsageError, match=part):
        check_name(name, "paper", workspace)


def test_a_module_that_exists_already_is_not_shadowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "paper_taken.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UsageError, match=r"paper_taken.*paper_taken\.py"):
        check_name("taken", "paper", tmp_path)


def test_reserved_words_and_names_of_commands_are_valid_names() -> None:
    workspace = this_workspace()
    assert workspace is not None
    for name in ("class", "list", "train", "2-layers"):
        check_name(name, "paper", workspace)


def test_impossible_arxiv_identifiers_and_years_are_refused() -> None:
    for good in ("2011.14439", "2011.14439v2", "0704.0001", "cs/0112017", "math.GT/0309136"):
        check_arxiv(good)
    for bad in ("2013.14439", "2011.1", "arXiv:2011.14439", "cs/0113017", ""):
        with pytest.raises(UsageError, match=f"--arxiv {bad!r}.*2011.14439"):
            check_arxiv(bad)
    check_year(2018)
    with pytest.raises(UsageError, match=r"--year 3018.*1900"):
        check_year(3018)


def test_what_is_filled_in_is_formatted_and_declares_what_it_imports(tmp_path: Path) -> None:
    shutil.copyfile(Path(str(this_workspace())) / "pyproject.toml", tmp_path / "pyproject.toml")
    for uses in ("data,train", "models", "viz", "models,viz"):
        name = uses.replace(",", "-")
        member = NewMember(name, "paper", 'On \\ and "', read_uses(uses), arxiv="2011.14439")
        (tmp_path / name).mkdir()
        fill_in(member, tmp_path / name)
        code = "".join(file.read_text() for file in (tmp_path / name).rglob("*.py"))
        declared = (tmp_path / name / "pyproject.toml").read_text()
        for package in ("research_data", "research_models", "research_train", "research_viz"):
            assert (f"from {package} " in code) == (f'"{package.replace("_", "-")}",' in declared)
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [HERE / "ruff", *words, "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
