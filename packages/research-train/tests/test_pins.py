"""A pin is true: the version that a paper requires runs, or it says why not."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from research_train import RequirementError, __version__, new_run
from workspaces import Workspace


@pytest.fixture
def workspace(tmp_path):
    """A workspace with research-train and its papers `tiny` and `other`; 0.0.8 is released."""
    workspace = Workspace(tmp_path / "work space")
    workspace.add_paper()
    workspace.add_paper("other")
    workspace.add_release("research-train", "0.0.8")
    workspace.require("research-train", paper="other")
    yield workspace
    for folder in workspace.unpacked_releases():
        shutil.rmtree(folder)


def test_a_pinned_paper_runs_its_release_and_its_neighbour_the_workspace(workspace):
    workspace.require("research-train==0.0.8")
    train = workspace.root / "papers/tiny/paper_tiny/second/train.py"
    train.write_text(
        "import importlib.metadata, sys, research_train\n"
        "print(research_train.__version__, file=sys.stderr)\n"
        "print(importlib.metadata.version('research-train'), file=sys.stderr)\n"
        f"{train.read_text()}"
    )
    for paper, version in (("tiny", "0.0.8"), ("other", __version__), ("tiny", "0.0.8")):
        result = workspace.train("second", paper=paper)
        assert result.code == 0, result.errors
        record = json.loads((result.folder / "run.json").read_text())
        assert record["packages"]["research-train"] == version
        first = result.errors.splitlines()[0]
        if paper == "tiny":
            assert result.errors.splitlines().count(version) == 2
            [wheel] = workspace.root.glob("packages/research-train/releases/*.whl.sha256")
            assert record["releases"] == {"research-train": wheel.read_text().split()[0]}
            assert f"research-train {version} (release)" in first
        else:
            assert record["releases"] == {}
            assert f"research-train {version}, " in first


def test_evaluate_resume_and_several_processes_run_under_the_pin(workspace):
    workspace.require("research-train==0.0.8")
    run = workspace.train("shared", "steps=20", "--nproc", "2").folder
    resumed = workspace.train("shared", "--resume", run.name, "steps=25")
    assert resumed.folder == run
    workspace.train()
    assert workspace.run("evaluate", "--paper", "tiny").code == 0
    assert {record["packages"]["research-train"] for record in workspace.records()} == {"0.0.8"}


@pytest.mark.parametrize(
    ("asked", "version"),
    [
        (">=0.0.1,<0.1", "0.0.9"),  # the newest that fits
        ("!=0.0.9,<0.1", "0.0.8"),
        (">=0.0.8", __version__),  # the workspace's own where it fits
        ("", __version__),
    ],
)
def test_a_range_takes_the_workspace_then_the_newest_release(workspace, asked, version):
    workspace.add_release("research-train", "0.0.9")
    workspace.require(f"research-train{asked}")
    run = workspace.train("second").folder
    assert json.loads((run / "run.json").read_text())["packages"]["research-train"] == version


def test_what_a_release_itself_requires_is_chosen_with_it(workspace):
    workspace.add_release("research-data", "0.0.4")
    workspace.add_release("research-data", "0.0.5")
    workspace.add_release("research-train", "0.0.9", ["research-data<0.0.5", "torch>=2"])
    workspace.require("research-train==0.0.9")
    run = workspace.train("second").folder
    record = json.loads((run / "run.json").read_text())
    assert record["packages"]["research-data"] == "0.0.4"
    assert record["releases"].keys() == {"research-data", "research-train"}


def test_an_older_release_is_taken_where_the_newest_does_not_fit_the_rest(workspace):
    workspace.add_release("research-train", "0.0.9", ["research-data>=7"])
    workspace.add_package("research-data")
    workspace.require("research-train<0.1")
    run = workspace.train("second").folder
    assert json.loads((run / "run.json").read_text())["packages"]["research-train"] == "0.0.8"


def test_packages_that_require_each_other_are_no_trouble(workspace):
    workspace.add_release("research-data", "0.0.5", ["research-train==0.0.9"])
    workspace.add_release("research-train", "0.0.9", ["research-data==0.0.5"])
    workspace.require("research-train==0.0.9")
    assert workspace.train("second").code == 0


@pytest.mark.parametrize(
    ("requirements", "parts"),
    [
        (["research-train==0.0.7"], ["paper-tiny requires research-train==0.0.7", "0.0.8", "pin"]),
        (
            ["research-train==0.0.6", "research-data"],
            ["0.0.10, 0.0.9, 0.0.8", "papers/tiny"],
        ),
        (
            ["research-train==0.0.9", "research-data==0.0.5"],
            ["research-train 0.0.9 requires research-data<0.0.5", "paper-tiny requires research-d"],
        ),
        (["research-train=>0.0.8"], ["papers/tiny/pyproject.toml", "'research-train=>0.0.8'"]),
        (["research-trian==0.0.8"], ["research-trian==0.0.8", "'research-train'?"]),
        (["research-train @ file:///elsewhere"], ["names a place", "research-train==VERSION"]),
        (["research-train==0.0.10"], ["torch<2", "torch 2.", "lock"]),
    ],
)
@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_requirements_that_cannot_be_met_are_refused_and_nothing_runs(
    workspace, command, requirements, parts
):
    workspace.add_release("research-data", "0.0.5")
    workspace.add_release("research-train", "0.0.9", ["research-data<0.0.5"])
    workspace.add_release("research-train", "0.0.10", ["torch<2"])
    workspace.require(*requirements)
    workspace.run(command, "--paper", "tiny").refused(1, *parts)
    assert not workspace.outputs.exists()


def test_a_wheel_that_is_not_what_was_released_is_refused(workspace):
    workspace.require("research-train==0.0.8")
    [wheel] = workspace.root.glob("packages/research-train/releases/*.whl")
    content = wheel.read_bytes()
    for changed in (content[:-1] + b"7", content[: len(content) // 2], b""):
        wheel.write_bytes(changed)
        workspace.train().refused(1, str(wheel), "git checkout")
    wheel.unlink()
    workspace.train().refused(1, str(wheel), "git checkout")
    wheel.write_bytes(content)
    Path(f"{wheel}.sha256").unlink()
    workspace.train().refused(1, "can't be read", "git checkout")
    workspace.add_release("research-train", "0.0.8", inside="0.0.7")
    workspace.train().refused(1, "research-train 0.0.8", "research-train 0.0.7")
    assert not workspace.outputs.exists()


def test_an_edited_copy_is_unpacked_anew(workspace):
    workspace.require("research-train==0.0.8")
    assert "changed" not in workspace.train("second").errors
    [copy] = workspace.unpacked_releases()
    (copy / "research_train/loop/trainer.py").write_text("raise SystemExit('edited')\n")
    (copy / "research_train" / "more.py").write_text("")
    result = workspace.train("second")
    assert result.code == 0, result.errors
    assert "research_train/more.py" in result.errors
    assert "research_train/loop/trainer.py" in result.errors
    assert "unpacked anew" in result.errors
    assert "changed" not in workspace.train("second").errors


def test_several_first_starts_at_once(workspace):
    workspace.require("research-train==0.0.8")
    starts = [workspace.start("train", "--paper", "tiny", "second") for _ in range(4)]
    for start in starts:
        assert start.wait(timeout=60) == 0, start.communicate()[1]
    assert {record["packages"]["research-train"] for record in workspace.records()} == {"0.0.8"}


def test_a_train_inside_of_a_train_runs_what_its_own_paper_requires(workspace):
    workspace.add_release("research-train", "0.0.9")
    workspace.require("research-train==0.0.8")
    workspace.require("research-train==0.0.9", paper="other")
    workspace.add_paper("third")
    workspace.require("research-train", paper="third")
    train = workspace.root / "papers/tiny/paper_tiny/second/train.py"
    command = [str(Path(sys.executable).with_name("train")), "--quiet", "second", "--paper"]
    train.write_text(
        "import subprocess\n"
        f"for paper in ('other', 'third'):\n    subprocess.run([*{command}, paper], check=True)\n"
        f"{train.read_text()}"
    )
    assert workspace.train("second").code == 0
    versions = {
        paper: workspace.records(paper)[0]["packages"]["research-train"]
        for paper in ("tiny", "other", "third")
    }
    assert versions == {"tiny": "0.0.8", "other": "0.0.9", "third": __version__}


def test_a_run_made_from_python_is_refused_where_the_pin_is_not_in_force(workspace, experiment):
    workspace.require("research-train==0.0.8")
    with pytest.raises(RequirementError, match=r"research-train.*paper exec"):
        new_run(experiment)


def handed_over(paper, version="0.0.8"):
    """What a launcher puts into the environment, for whoever is asked on purpose."""
    return json.dumps({"paper": paper, "pid": None, "releases": {"research-train": [version]}})


def test_an_interpreter_that_ignores_the_path_is_noticed(workspace):
    workspace.require("research-train==0.0.8")
    workspace.environment["RESEARCH_RELEASES"] = handed_over("paper-tiny")
    workspace.train().refused(1, "was started under research-train 0.0.8", "PYTHONPATH")


def test_releases_that_take_it_for_another_paper_end_in_a_word_not_in_a_loop(workspace):
    workspace.environment["RESEARCH_RELEASES"] = handed_over("paper-other")
    workspace.train().refused(1, "paper-other", "paper-tiny", "--paper")


def test_releases_of_another_checkout_are_left(workspace):
    """As in a shell under `paper exec` of one clone, in which another clone's paper is trained."""
    elsewhere = workspace.root / "research-releases" / "research-train-0.0.1-abc"
    (elsewhere / "research_train").mkdir(parents=True)
    (elsewhere / "research_train" / "__init__.py").write_text("")
    information = elsewhere / "research_train-0.0.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.3\nName: research-train\nVersion: 0.0.1\n"
    )
    workspace.require("research-train")
    site = workspace.environment["PYTHONPATH"]
    run = workspace.run_program(
        "env",
        f"PYTHONPATH={elsewhere}:{site}",
        'RESEARCH_RELEASES={"paper": "paper-x", "pid": 1, "releases": {}}',
        sys.executable,
        "-c",
        f"import sys; sys.path.remove({str(elsewhere)!r}); sys.orig_argv = [sys.executable, "
        f"{str(Path(sys.executable).with_name('train'))!r}, '--paper', 'tiny', 'second']\n"
        "from research_train.versions.hand_over import leave_releases\nleave_releases()",
    )
    assert run.code == 0, run.errors
    [record] = workspace.records()
    assert record["packages"]["research-train"] == __version__


def test_what_is_imported_and_is_no_release_is_not_recorded_as_one(workspace):
    workspace.require("research-train==0.0.8")
    assert workspace.train("second").code == 0
    [copy] = workspace.unpacked_releases()
    (copy / "research_train" / "more.py").write_text("")
    done = workspace.run_program(
        "env",
        f"PYTHONPATH={copy}:{workspace.environment['PYTHONPATH']}",
        sys.executable,
        "-c",
        "from research_train import find_member, installed_members, new_run\n"
        "new_run(find_member('tiny', installed_members()).experiment('second'))",
    )
    assert done.code == 1
    assert str(copy) in done.errors and "research-train 0.0.8" in done.errors


def test_an_environment_of_another_branch_is_reported(workspace):
    """The version that an editable install was synced with, and that of the folder now."""
    folder = workspace.add_package("research-train")
    synced = workspace.root / "site" / "research_train-0.0.5.dist-info"
    synced.mkdir(parents=True)
    (synced / "METADATA").write_text(
        "Metadata-Version: 2.3\nName: research-train\nVersion: 0.0.5\n"
    )
    origin = {"url": folder.resolve().as_uri(), "dir_info": {"editable": True}}
    (synced / "entry_points.txt").write_text(
        "[console_scripts]\ntrain = research_train.launch:train_command\n"
    )
    (synced / "direct_url.json").write_text(json.dumps(origin))
    workspace.environment["PYTHONPATH"] = f"{synced.parent}:{workspace.environment['PYTHONPATH']}"
    workspace.require("research-train")
    workspace.train().refused(1, "0.0.5", "`uv sync`")
