"""Generated datasets: made once, whole, and known by what makes them."""

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
