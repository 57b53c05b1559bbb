"""What a fingerprint notices, and what not: edits of scratch copies of paper and packages."""

import json
import subprocess
import sys

import code_edits
import edit_trials
import pytest
from research_train import installed_members, load_config
from research_train.code.fingerprint import fingerprint
from research_train.code.parsed_files import ParsedFiles
from research_train.code.reached_code import (
    GENERATED,
    ROOTS,
    reached_code,
    reached_from,
    shared_walks,
)

ASSETS = {"tiny-points": "0123456789ab"}
NONE: set[str] = set()
ALL = {"tiny", "tiny.second", "tiny.full", "tiny.shared", "tiny.phases"}
TRAINER = {"tiny", "tiny.full", "tiny.shared", "tiny.phases"}  # second is a closed form


@pytest.fixture
def identity(experiment):
    """The fingerprint of the experiment as it is now."""

    def compute(*words, assets=ASSETS):
        return fingerprint(experiment, load_config(experiment, words), assets)

    return compute


def test_the_fingerprint_is_the_same_every_time(identity):
    assert identity() == identity()


@pytest.mark.parametrize(
    "word",
    [
        *("seed=9", "log_every=1", "tensorboard=true", "checkpoint_every=2", "wandb=offline"),
        *("trackers=[sqlite]", "max_minutes=5"),
    ],
)
def test_a_change_that_cannot_change_a_number_keeps_the_fingerprint(identity, word):
    assert identity() == identity(word)


@pytest.mark.parametrize(
    "word", ["steps=9", "optimizer.learning_rate=1", "precision=bfloat16", "parallel=fsdp"]
)
def test_a_change_that_can_change_a_number_changes_the_fingerprint(identity, word):
    assert identity() != identity(word)


def test_the_revision_of_the_data_counts(identity):
    assert identity() != identity(assets={"tiny-points": "ba9876543210"})


def test_experiments_asked_for_together_have_the_fingerprints_that_each_has_alone():
    parsed = ParsedFiles()
    asked = [m.experiment(name) for m in installed_members() for name in m.experiments]
    shared = shared_walks(asked[0].member.workspace, parsed, generated=True)
    for experiment in (*asked, *reversed(asked)):
        together = reached_code(experiment, parsed, shared)
        own = ((f"{experiment.module}.train", "train"), (f"{experiment.module}.config", "Config"))
        alone = reached_from([*own, *ROOTS], experiment.member, parsed)
        assert together == alone, experiment.name
        assert f"{experiment.module}.train" in together.modules


def test_generated_data_asked_for_together_reaches_what_each_alone_does_and_what_all_share():
    members, parsed = installed_members(), ParsedFiles()
    shared = shared_walks(members[0].workspace, parsed, generated=True).generated
    asked = [(m, place) for m in members for place in m.pyproject.generated.values()]
    for member, place in (*asked, *reversed(asked)):
        module, _, attribute = place.partition(":")
        together = reached_from([(module, attribute)], member, parsed, shared)
        assert together == reached_from([(module, attribute), *GENERATED], member, parsed), place
        assert module in together.modules


# edit: what stands in the report; where; old text (None: appended, or made); new; who is another.
PAPER = "papers/tiny/paper_tiny"
TRAIN, MODELS = "src/research_train", "src/research_models"
EDITS = [
    # Nothing that could change a number.
    ("a comment", f"{PAPER}/train.py", None, "\n# a remark\n", NONE),
    (
        "a docstring",
        f"{PAPER}/train.py",
        "def make_model() -> nn.Module:\n",
        'def make_model() -> nn.Module:\n    """A model."""\n',
        NONE,
    ),
    ("formatting", f"{PAPER}/train.py", "nn.Linear(4, 16), nn", "nn.Linear(4,\n 16), nn", NONE),
    ("an annotation", f"{PAPER}/train.py", "make_model() -> nn.Module", "make_model()", NONE),
    ("a function nobody uses", f"{PAPER}/train.py", None, "\ndef other():\n    return 1\n", NONE),
    ("a module nobody imports", f"{PAPER}/new.py", None, "width = 3\n", NONE),
    ("a test", "papers/tiny/tests/test_tiny.py", None, "assert True\n", NONE),
    ("prose", "papers/tiny/README.md", None, "More.\n", NONE),
    ("the listing of runs", f"{TRAIN}/history/table.py", None, "\nprint('listed')\n", NONE),
    ("a comparison", f"{TRAIN}/history/comparison.py", None, "\nprint('compared')\n", NONE),
    ("a verdict", f"{TRAIN}/claims/claim.py", None, "\nprint('a new verdict')\n", NONE),
    ("reproduce", f"{TRAIN}/evidence/reproduce.py", None, "\nX = 1\n", NONE),
    ("a run's pictures", f"{TRAIN}/record/media_content.py", None, "\nprint('shown')\n", NONE),
    ("how figures are saved", "src/research_viz/saving.py", None, "\nprint('saved')\n", NONE),
    ("a figure", "src/research_viz/curves.py", None, "\nprint('drawn')\n", NONE),
    (
        "a class in a file of research-models",
        f"{MODELS}/mlp.py",
        None,
        "\nclass New: x = 1\n",
        NONE,
    ),
    ("a class re-exported lazily", f"{MODELS}/new.py", None, "class New: x = 1\n", NONE),
    ("... and its line", f"{MODELS}/__init__.pyi", None, "from .new import New as New\n", NONE),
    ("its evaluate", f"{PAPER}/evaluate.py", None, "\nX = 1\n", NONE),
    ("an experiment's comment in YAML", f"{PAPER}/second/config.yaml", None, "\n# said\n", NONE),
    ("a cache", f"{PAPER}/__pycache__/x.pyc", None, "compiled", NONE),
    # What can.
    (
        "arithmetic in the loop",
        f"{TRAIN}/loop/gradients.py",
        "loss.backward()",
        "(1.0 * loss).backward()",
        TRAINER,
    ),
    (
        "a seed",
        f"{TRAIN}/state/random_state.py",
        "torch.manual_seed(seed)",
        "torch.manual_seed(seed + 1)",
        ALL,
    ),
    (
        "what the paper imports",
        f"{PAPER}/train.py",
        "nn.Linear(4, 16)",
        "nn.Linear(4, 8)",
        {"tiny"},
    ),
    (
        "a function that others import",
        f"{PAPER}/train.py",
        "load_arrays(run.asset",
        "dict(load_arrays)(run.asset",
        {"tiny", "tiny.shared", "tiny.phases"},
    ),
    ("a line of the package", f"{PAPER}/__init__.py", None, "\nprint('loaded')\n", ALL),
    (
        "a field's type",
        f"{PAPER}/second/config.py",
        "answer: int",
        "answer: float",
        {"tiny.second"},
    ),
    (
        "a field's default",
        f"{PAPER}/config.py",
        "nan_at: NonNegativeInt\n",
        "nan_at: NonNegativeInt = 0\n",
        {"tiny"},
    ),
    ("a table beside the code", f"{PAPER}/table.csv", None, "1\n", ALL),
    ("one in an experiment's folder", f"{PAPER}/second/t.csv", None, "1\n", {"tiny.second"}),
    (
        "a reached model",
        f"{MODELS}/mlp.py",
        "super().__init__()",
        "super().__init__(); 1",
        {"tiny"},
    ),
    (
        "an optional import",
        f"{PAPER}/full/train.py",
        None,
        "\ntry:\n    import paper_tiny.late\nexcept ImportError:\n    pass\n",
        {"tiny.full"},
    ),
]

LOAD = "def load(run: Run) -> tuple[Tensor, Tensor]:\n"


@pytest.fixture
def ask(experiment, workspace):
    """Each edit of a file -> the experiments that it makes others."""
    return lambda edits: edit_trials.made_others([({}, each) for each in edits], workspace.root)


def test_every_edit_counts_for_the_experiments_that_reach_it(workspace):
    workspace.copy_packages()
    train = workspace.root / PAPER / "train.py"
    text = train.read_text().replace(
        "return nn.Sequential(nn.Linear(4, 16)",
        "from research_models import MLP\n    assert MLP\n"
        "    return nn.Sequential(nn.Linear(4, 16)",
    )
    train.write_text(text)
    done = subprocess.run(
        [sys.executable, edit_trials.__file__],
        input=json.dumps([(place, old, new) for _, place, old, new, _ in EDITS]),
        cwd=workspace.root,
        env=workspace.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    got = [set(names) for names in json.loads(done.stdout)]
    for (name, *_, expected), found in zip(EDITS, got, strict=True):
        print(f"{name}: expected {sorted(expected)}, got {sorted(found)}")
    wrong = [(e[0], found) for e, found in zip(EDITS, got, strict=True) if e[-1] != found]
    assert not wrong


IMPORTS = [
    ("from paper_tiny import late", "late.width"),
    ("import paper_tiny.late", "paper_tiny.late.width"),
    ("import paper_tiny.late as other", "other.width"),
    ("from . import late", "late.width"),
    ("from .late import width as w", "w"),
    ("from paper_tiny.late import *", "width"),
    ("import importlib", "importlib.import_module('paper_tiny.late').width"),
    ("import importlib", "importlib.import_module('paper_tiny.' + 'la' + 'te').width"),
    ("from importlib import import_module as load_it", "load_it(f'paper_tiny.{1}').width"),
    ("", "__import__('paper_tiny.la' + 'te')"),
    ("", "exec('import paper_tiny.late')"),
    ("import sys", "sys.modules.get('paper_tiny.late')"),
    ("import paper_tiny.late as m", "getattr(m, 'wid' + 'th')"),
]


@pytest.mark.parametrize("inside", [False, True])
def test_an_import_is_followed_however_it_is_written(experiment, workspace, inside):
    package = workspace.root / PAPER
    imports = [each for each in IMPORTS if not (inside and each[0].endswith("*"))]
    edits = []
    for statement, use in imports:
        top = "" if inside else f"{statement}\n"
        body = f"    {statement if inside else ''}\n    {use}\n"
        train = f"{top}def load(run):\n{body}"
        edits.append(({"train.py": train, "late.py": "width = 16\n"}, ("late.py", "16", "17")))
    found = edit_trials.made_others(edits, package, only=("paper_tiny.train", "load"))
    missed = [each for each, others in zip(imports, found, strict=True) if not others]
    assert not missed


def test_a_package_that_imports_its_own_modules_is_followed(ask, workspace):
    package = workspace.root / PAPER
    (package / "parts").mkdir()
    (package / "parts/__init__.py").write_text("from . import late\nfrom .other import width\n")
    (package / "parts/late.py").write_text("height = 1\n")
    (package / "parts/other.py").write_text("from paper_tiny.parts import width\nwidth = 2\n")
    (package / "lazy").mkdir()
    (package / "lazy/__init__.py").write_text(
        "import lazy_loader\n"
        "__getattr__, __dir__, __all__ = lazy_loader.attach(\n"
        "    __name__, submodules=['inner'], submod_attrs={'late': ['depth']}\n)\n"
    )
    (package / "lazy/inner.py").write_text("length = 3\n")
    (package / "lazy/late.py").write_text("depth = 4\n")
    (package / "lazy/unused.py").write_text("print(5)\n")
    use = (
        "def load(run):\n    from paper_tiny import lazy, parts\n"
        "    parts.late.height + parts.width + lazy.inner.length + lazy.depth\n"
    )
    train = package / "train.py"
    train.write_text(train.read_text().replace(LOAD, use))
    edits = [("parts/late.py", "1"), ("parts/other.py", "2"), ("lazy/inner.py", "3")]
    edits += [("lazy/late.py", "4"), ("lazy/unused.py", "5")]
    found = ask([(f"{PAPER}/{name}", old, "9") for name, old in edits])
    assert ["tiny" in names for names in found] == [True, True, True, True, False]


def test_a_long_chain_of_imports_is_followed_to_its_end(ask, workspace):
    package = workspace.root / PAPER
    for number in range(500):
        (package / f"chain{number}.py").write_text(f"from paper_tiny import chain{number + 1}\n")
    (package / "chain500.py").write_text("print(1)\n")
    train = package / "train.py"
    train.write_text("from paper_tiny import chain0\n" + train.read_text())
    assert "tiny" in ask([(f"{PAPER}/chain500.py", "1", "2")])[0]


def test_a_module_that_a_stub_lists_is_followed(ask, workspace):
    lazy = workspace.root / PAPER / "lazy"
    lazy.mkdir()
    (lazy / "__init__.py").write_text(
        "import lazy_loader\n"
        "__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)\n"
    )
    (lazy / "__init__.pyi").write_text("from . import inner as inner\n")
    (lazy / "inner.py").write_text("def length():\n    return 3\n")
    train = workspace.root / PAPER / "train.py"
    use = "def load(run):\n    from paper_tiny.lazy import inner\n    inner.length()\n"
    train.write_text(train.read_text().replace(LOAD, use))
    assert "tiny" in ask([(f"{PAPER}/lazy/inner.py", "3", "4")])[0]


def test_what_only_a_type_checker_imports_does_not_count(ask, workspace):
    train = workspace.root / PAPER / "train.py"
    lines = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from paper_tiny import late\n"
    train.write_text(lines + train.read_text())
    (workspace.root / PAPER / "late.py").write_text("print(16)\n")
    assert ask([(f"{PAPER}/late.py", "16", "17")]) == [NONE]


def test_a_class_found_by_its_base_counts(ask, workspace):
    models = workspace.root / PAPER / "kinds.py"
    models.write_text("class Kind:\n    pass\n\nclass Small(Kind):\n    width = 16\n")
    train = workspace.root / PAPER / "train.py"
    use = "def load(run):\n    from paper_tiny.kinds import Kind\n    Kind.__subclasses__()\n"
    train.write_text(train.read_text().replace(LOAD, use))
    [found] = ask([(f"{PAPER}/kinds.py", "16", "17")])
    assert "tiny" in found


def test_links_are_followed_and_git_is_not_asked(ask, workspace, tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=workspace.root, check=True)
    (workspace.root / ".gitignore").write_text("*.csv\n")
    (tmp_path / "far").mkdir()
    for name in ("table.csv", "far/words.txt"):
        (tmp_path / name).write_text("1\n")
    package = workspace.root / PAPER
    (package / "linked.csv").symlink_to(tmp_path / "table.csv")
    (package / "folder").symlink_to(tmp_path / "far")
    clone = package / "clone"
    subprocess.run(["git", "init", "-q", clone], check=True)
    (clone / "vocabulary.txt").write_text("1\n")
    (package / "ignored.csv").write_text("1\n")
    (package / "round").symlink_to(package)  # a link to a folder around it ends nothing
    files = [tmp_path / "table.csv", tmp_path / "far/words.txt", clone / "vocabulary.txt"]
    files.append(package / "ignored.csv")
    assert ask([(str(file), "1", "2") for file in files]) == [ALL] * 4


def test_a_file_that_the_code_names_counts_elsewhere_in_the_paper_too(ask, workspace):
    train = workspace.root / PAPER / "train.py"
    use = 'def load(run):\n    open("../table.csv")\n'
    train.write_text(train.read_text().replace(LOAD, use))
    edits = [(f"papers/tiny/{name}.csv", None, "1\n") for name in ("table", "other")]
    named, other = ask(edits)
    assert named == {"tiny", "tiny.shared", "tiny.phases"} and not other


def test_only_versions_of_packages_that_are_used_count(identity, experiment, workspace):
    workspace.require("used", "unused")
    for name in ("used", "unused"):
        (workspace.site / f"{name}.py").write_text("")
        metadata = workspace.site / f"{name}-1.0.dist-info" / "METADATA"
        metadata.parent.mkdir()
        metadata.write_text(f"Metadata-Version: 2.3\nName: {name}\nVersion: 1.0\n")
    train = experiment.member.folder / "paper_tiny/train.py"
    train.write_text(
        train.read_text().replace(
            "def load(run: Run) -> tuple[Tensor, Tensor]:\n",
            "def load(run):\n    import used\n    used.x\n",
        )
    )
    before = identity()
    for name in ("unused", "used"):
        assert identity() == before
        metadata = workspace.site / f"{name}-1.0.dist-info" / "METADATA"
        metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    assert identity() != before


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


def test_what_an_import_does_counts_however_it_is_written(experiment, workspace):
    package = workspace.root / PAPER
    edits = []
    for _, files, use, place, old, new, _ in code_edits.EDITS:
        top, _, inside = use.partition("|||")
        body = "".join(f"    {line}\n" for line in inside.split("\n"))
        code = f"{top}\ndef load(run):\n{body}"
        edits.append(({**files, "train.py": code}, (place, old, new)))
    found = edit_trials.made_others(edits, package, only=("paper_tiny.train", "load"))
    wrong = [
        name
        for (name, *_, expected), others in zip(code_edits.EDITS, found, strict=True)
        if bool(others) is not expected
    ]
    assert not wrong
