"""Generated datasets: made once, whole, and known by what makes them."""

import importlib
import json
import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from research_data import (
    DamagedAssetError,
    GeneratedDataset,
    get_datasets_dir,
    load_arrays,
    make_dataset,
    verify_asset,
)
from research_data.generated.generator_code import reached_sources


def generate(examples):
    return {"x": np.arange(examples, dtype=np.float32), "y": np.ones((2, examples), np.int64)}


DATASET = GeneratedDataset("numbers", generate, {"examples": 5}, "numpy", "CC0-1.0")


@pytest.fixture(autouse=True)
def assets(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path))
    return tmp_path


def test_it_lies_under_its_revision_with_a_link_by_its_name():
    folder = make_dataset(DATASET)
    assert folder == get_datasets_dir() / f"numbers@{DATASET.revision}"
    assert (get_datasets_dir() / "numbers").resolve() == folder
    arrays = load_arrays(folder)
    assert arrays["x"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["y"].shape == (2, 5)


def test_its_manifest_says_where_it_is_from():
    manifest = json.loads((make_dataset(DATASET) / ".asset.json").read_text())
    assert manifest["source"] == "generated"
    assert manifest["revision"] == DATASET.revision
    assert manifest["arguments"] == {"examples": 5}
    assert manifest["package"] == {"numpy": np.__version__}
    assert manifest["licence"] == "CC0-1.0"
    assert manifest["files"].keys() == {"data.safetensors"}


def draw():
    import random

    import torch

    drawn = [random.random(), np.random.rand(), torch.rand(1).item()]
    return {"x": np.array(drawn)}


def test_the_state_of_this_process_is_not_in_it():
    import torch

    found = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(seed)
        folder = make_dataset(GeneratedDataset(f"drawn{seed}", draw, {}, "numpy", "CC0-1.0"))
        found.append((load_arrays(folder)["x"].tolist(), np.random.rand(), torch.rand(1).item()))
    assert found[0][0] == found[1][0]
    np.random.seed(2)
    torch.manual_seed(2)
    assert found[1][1:] == (np.random.rand(), torch.rand(1).item())  # as if nothing was made


def test_other_arguments_are_another_revision_beside_it():
    first, second = make_dataset(DATASET), make_dataset(replace(DATASET, arguments={"examples": 6}))
    assert first != second
    assert len(load_arrays(first)["x"]) == 5
    assert len(load_arrays(second)["x"]) == 6


def test_another_generator_is_another_revision():
    def generate(examples):
        return {"x": np.zeros(examples)}

    assert replace(DATASET, generate=generate).revision != DATASET.revision


def test_a_generator_that_fails_leaves_nothing(assets):
    def fail(examples):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        make_dataset(replace(DATASET, generate=fail))
    assert not (assets / "datasets").exists()


def test_several_processes_end_with_one_sound_copy(assets):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        folders = set(pool.map(make_dataset, [DATASET] * 8))
    assert len(folders) == 1
    verify_asset(folders.pop())
    assert len(list((assets / "datasets").iterdir())) == 2  # the folder and the link


@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "no manifest", "bad manifest", "escape"])
def test_damage_is_noticed(harm):
    folder = make_dataset(DATASET)
    file, manifest = folder / "data.safetensors", folder / ".asset.json"
    content = file.read_bytes()
    if harm == "flip":
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "cut":
        file.write_bytes(content[:-1])
    elif harm == "remove":
        file.unlink()
    elif harm == "no manifest":
        manifest.unlink()
    elif harm == "bad manifest":
        manifest.write_text("[1]")
    else:
        manifest.write_text(manifest.read_text().replace("data.safetensors", "../data"))
    with pytest.raises(DamagedAssetError, match=str(folder)):
        make_dataset(DATASET)


BEFORE = {
    "__init__.py": "",
    "made.py": "import numpy as np\nfrom made_{n}.shapes import SCALE, Sized, helper\n"
    "from made_{n} import tables\n\n\ndef generate():\n    from .late import offset\n\n"
    "    return {{'x': np.full(3, helper() * SCALE + Sized().size + tables.ROW + offset)}}\n\n\n"
    "def other():\n    return 1\n",
    "shapes.py": "SCALE = 2\nUNUSED = 1\n\n\ndef deeper():\n    return 1\n\n\n"
    "def helper():\n    return deeper()\n\n\nclass Base:\n    size = 4\n\n\nclass Sized(Base):\n"
    "    pass\n",
    "tables.py": "ROW = 5\n",
    "late.py": "offset = 6\n",
}


@pytest.mark.parametrize(
    ("file", "old", "new", "counts"),
    [
        ("shapes.py", "SCALE = 2", "SCALE = 3", True),
        ("shapes.py", "def deeper():\n    return 1", "def deeper():\n    return 2", True),
        ("shapes.py", "size = 4", "size = 5", True),
        ("tables.py", "ROW = 5", "ROW = 6", True),
        ("late.py", "offset = 6", "offset = 7", True),
        ("shapes.py", "UNUSED = 1", "UNUSED = 2", False),
        ("made.py", "def other():\n    return 1", "def other():\n    return 2", False),
    ],
)
def test_what_the_generator_reaches_in_its_package_counts(
    tmp_path, monkeypatch, file, old, new, counts
):
    monkeypatch.syspath_prepend(tmp_path)
    revisions = []
    for n in ("a", "b"):
        name = f"made_{n}_{abs(hash((file, old)))}"
        folder = tmp_path / name
        folder.mkdir()
        for path, text in BEFORE.items():
            text = text.replace("made_{n}", name).replace("{{", "{").replace("}}", "}")
            (folder / path).write_text(text.replace(old, new) if (n, path) == ("b", file) else text)
        generate = importlib.import_module(f"{name}.made").generate
        assert generate()["x"].shape == (3,)
        dataset = replace(DATASET, generate=generate)
        reached = reached_sources(generate)
        revisions.append({key.partition(":")[2] or key[-6:]: text for key, text in reached.items()})
        assert dataset.revision != DATASET.revision
    assert (revisions[0] != revisions[1]) == counts
