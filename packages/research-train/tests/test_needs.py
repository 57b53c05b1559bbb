"""The data a paper says it needs: made, verified, linked."""

import json
import shutil
import subprocess
import sys
from multiprocessing import get_context

import pytest
from research_data import AssetError, DamagedAssetError
from research_train import MemberError, link_needs, prepare_assets

DATA = "assets/datasets"


def prepare_and_link(experiment):
    revisions = prepare_assets(experiment.member)
    link_needs(experiment.member, revisions)
    return revisions


def test_data_is_made_once_and_linked(experiment, workspace):
    revisions = prepare_and_link(experiment)
    folder = workspace.root / DATA / f"tiny-points@{revisions['tiny-points']}"
    made = (folder / "data.safetensors").stat()
    link = experiment.member.folder / "data"
    assert link.resolve() == folder
    assert not link.readlink().is_absolute()
    assert prepare_assets(experiment.member) == revisions
    assert (folder / "data.safetensors").stat().st_mtime_ns == made.st_mtime_ns


def test_assets_elsewhere_are_linked_absolutely(experiment, tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "elsewhere"))
    prepare_and_link(experiment)
    assert (experiment.member.folder / "data").readlink().is_absolute()


def test_a_damaged_file_is_said_and_made_anew_when_asked(workspace):
    assert workspace.train().code == 0
    [file] = (workspace.root / DATA).glob("tiny-points@*/data.safetensors")
    sound = file.read_bytes()
    file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    result = workspace.train()
    result.refused(1, str(file.parent), "data.safetensors is damaged", "sha256", "--rebuild-data")
    assert len(workspace.records()) == 1
    assert workspace.train("--rebuild-data").code == 0
    assert file.read_bytes() == sound
    first, second = workspace.records()
    assert first["metrics"] == second["metrics"]


def test_a_real_folder_is_never_replaced_by_a_link(experiment):
    data = experiment.member.folder / "data"
    data.mkdir()
    (data / "mine.csv").write_text("1,2\n")
    with pytest.raises(AssetError, match=f"{data}.* folder"):
        prepare_and_link(experiment)
    assert (data / "mine.csv").read_text() == "1,2\n"


def test_a_link_whose_target_is_gone_is_renewed(experiment, tmp_path):
    data = experiment.member.folder / "data"
    data.symlink_to(tmp_path / "datasets" / "gone@0123456789ab")
    prepare_and_link(experiment)
    assert (data / ".asset.json").is_file()


def give_two_datasets(folder):
    """Have the paper in a folder make another dataset beside its own."""
    pyproject = folder / "pyproject.toml"
    more = 'tiny-points = "paper_tiny.data:POINTS"\nmore-points = "paper_tiny.data:MORE"\n'
    text = pyproject.read_text()
    pyproject.write_text(text.replace('tiny-points = "paper_tiny.data:POINTS"\n', more))
    with (folder / "paper_tiny" / "data.py").open("a") as file:
        file.write(
            "\nMORE = GeneratedDataset('more-points', generate, {'examples': 9, 'seed': 1},"
            " 'numpy', 'CC0-1.0')\n"
        )


def test_several_datasets_are_links_in_a_folder(experiment):
    folder = experiment.member.folder
    give_two_datasets(folder)
    revisions = prepare_and_link(experiment)
    assert {path.name for path in (folder / "data").iterdir()} == revisions.keys()
    for path in (folder / "data").iterdir():
        assert (path / ".asset.json").is_file()
    assert prepare_and_link(experiment) == revisions


def test_trainings_that_start_together_make_the_same_links(experiment):
    member = experiment.member
    give_two_datasets(member.folder)
    revisions = prepare_assets(member)
    for _ in range(10):
        shutil.rmtree(member.folder / "data", ignore_errors=True)
        together = get_context("fork").Barrier(6)

        def link(together=together):
            together.wait()
            link_needs(member, revisions)

        processes = [get_context("fork").Process(target=link) for _ in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 6
        assert {path.name for path in (member.folder / "data").iterdir()} == revisions.keys()


@pytest.mark.parametrize(
    "value", ["paper_tiny.data", "paper_tiny.data:NOTHING", "nowhere:POINTS", "paper_tiny.data:np"]
)
def test_a_wrong_need_is_refused(experiment, value):
    pyproject = experiment.member.folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("paper_tiny.data:POINTS", value))
    with pytest.raises(MemberError, match="tiny-points"):
        prepare_assets(experiment.member)


def say_needs(experiment, text):
    with (experiment.member.folder / "pyproject.toml").open("a") as file:
        file.write(f"\n[tool.research.needs]\n{text}\n")


def test_an_experiment_needs_only_what_its_entry_names(experiment, workspace):
    say_needs(experiment, "second = []")
    second = experiment.member.experiment("second")
    assert prepare_assets(second) == {}
    assert not (workspace.root / DATA).exists()
    revisions = prepare_and_link(experiment)
    assert prepare_assets(experiment) == revisions
    link_needs(experiment.member, prepare_assets(second))
    assert (experiment.member.folder / "data").is_symlink()
    answered, _ = told(workspace, "second", "tiny")
    assert [each["assets"] for each in answered] == [{}, revisions]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("secnd = []", ["secnd", "'tiny.second'?", "tiny.phases"]),
        ('second = ["tiny-point"]', ["second", "'tiny-point'", "'tiny-points'?"]),
        ('second = "tiny-points"', ["needs.second", "'tiny-points'", "[]"]),
        ('second = []\n"tiny.second" = []', ["tiny.second", "already"]),
    ],
)
def test_a_wrong_entry_of_needs_is_refused(experiment, text, parts):
    say_needs(experiment, text)
    for each in (experiment, experiment.member.experiment("second")):
        with pytest.raises(MemberError) as refused:
            prepare_assets(each)
        message = str(refused.value)
        assert all(part in message for part in [*parts, "tiny/pyproject.toml"]), message


def test_damage_is_an_error_of_its_own(experiment, workspace):
    revisions = prepare_assets(experiment.member)
    folder = workspace.root / DATA / f"tiny-points@{revisions['tiny-points']}"
    (folder / ".asset.json").unlink()
    with pytest.raises(DamagedAssetError, match=r"\.asset\.json is missing"):
        prepare_assets(experiment.member)


MAKER = """

def points(nan_at: int, sleep: float, examples: int = 20) -> GeneratedDataset:
    if sleep > 1:
        raise ValueError("sleep must be at most 1")
    arguments = {"examples": examples, "seed": nan_at}
    return GeneratedDataset("tiny-points", generate, arguments, "numpy", "CC0-1.0")
"""


@pytest.fixture
def made_of_keys(workspace):
    """The tiny paper's data.py, whose dataset is a function of config keys."""
    folder = workspace.root / "papers" / "tiny"
    pyproject = folder / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("data:POINTS", "data:points"))
    data = folder / "paper_tiny" / "data.py"
    data.write_text(data.read_text() + MAKER)
    return data


def test_data_of_config_keys_is_made_once_for_each_value(workspace, made_of_keys):
    runs = [workspace.train("--quiet", f"nan_at={number}").folder for number in (100, 200, 100)]
    records = workspace.records()
    first, second, again = (record["assets"]["tiny-points"] for record in records)
    assert again == first != second
    made = sorted(path.name for path in (workspace.root / DATA).glob("tiny-points@*"))
    assert made == sorted(f"tiny-points@{each}" for each in (first, second))
    assert records[0]["fingerprint"] == records[2]["fingerprint"] != records[1]["fingerprint"]
    listed = workspace.run("research-cli", "dataset", "list")
    rows = [line for line in listed.output.splitlines() if "generated: examples=20, seed=" in line]
    assert {row.split("seed=")[1].split()[0] for row in rows} == {"100", "200"}
    evaluated = workspace.run("evaluate", "--paper", "tiny", "--run", runs[0].name)
    assert evaluated.code == 0, evaluated.errors  # with its own data, not that made last
    words = ["tiny nan_at=100", "tiny nan_at=200"]
    answers, _ = told(workspace, *words)
    assert [each["assets"]["tiny-points"] for each in answers] == [first, second]
    assert [each["fingerprint"] for each in answers] == [r["fingerprint"] for r in records[:2]]
    assert told(workspace, *words) == (answers, False)


def test_what_data_cannot_be_made_of_is_a_sentence(workspace, made_of_keys):
    workspace.train("sleep=2.0").refused(2, "data:points", "sleep = 2.0", "at most 1")
    text = made_of_keys.read_text()
    made_of_keys.write_text(text.replace("sleep: float", "sleap: float").replace("sleep >", "0 >"))
    workspace.train().refused(2, "data:points", "'sleap'", "'sleep'")
    made_of_keys.write_text(text.replace('Dataset("tiny-points"', 'Dataset("others"'))
    workspace.train().refused(2, "data:points", "named 'tiny-points'", "'others'")
    assert not workspace.records()


def told(workspace, *asked):
    """What another process tells of experiments, with their words, and whether it needed NumPy."""
    command = [sys.executable, "-X", "importtime", "-m", "research_train.fingerprints"]
    questions = [
        {"experiment": experiment, "overrides": words}
        for experiment, *words in map(str.split, asked)
    ]
    done = subprocess.run(
        [*command, "--paper", "tiny"],
        input=json.dumps(questions),
        env=workspace.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout), "numpy" in done.stderr


def told_assets(workspace):
    """The revisions that another process tells with a fingerprint, and whether it needed NumPy."""
    [answer], needed_numpy = told(workspace, "tiny")
    return answer["assets"], needed_numpy


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    random = np", "    # drawn once\n    random = np"),  # to a revision comments count
        ('"examples": 50', '"examples": 51'),
        ("examples, 4)) + 2.0", "examples, 4)) + shift()"),
    ],
)
def test_a_known_revision_is_told_without_its_code_until_that_changes(workspace, old, new):
    package = workspace.root / "papers" / "tiny" / "paper_tiny"
    (package / "shifts.py").write_text("def shift():\n    return 2.0\n")
    data = package / "data.py"
    data.write_text("from paper_tiny.shifts import shift\n" + data.read_text())
    first, _ = told_assets(workspace)
    assert told_assets(workspace) == (first, False)
    data.write_text(data.read_text().replace(old, new))
    changed, asked_its_code = told_assets(workspace)
    assert changed != first and asked_its_code
    (package / "shifts.py").write_text("def shift():\n    return 2.0 + 1.0\n")
    assert (told_assets(workspace)[0] != changed) == ("shift()" in new)


def test_a_known_revision_whose_data_is_gone_is_made_again(workspace):
    assets, _ = told_assets(workspace)
    told_assets(workspace)
    folder = workspace.root / DATA / f"tiny-points@{assets['tiny-points']}"
    shutil.rmtree(folder)
    assert told_assets(workspace)[0] == assets
    assert (folder / "data.safetensors").is_file()
