"""Checkpoints alone, as in a notebook."""

import json
import random
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from research_train import CheckpointError, TrainState, load_checkpoint, save_checkpoint
from safetensors import safe_open
from torch import nn


def network(width=5):
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def stepped(model, optimizer, steps=3):
    for _ in range(steps):
        model(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return optimizer


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "plain-sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.9), amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    "rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_model_and_optimizer_go_on_as_if_never_saved(tmp_path, kind):
    model = network()
    optimizer = stepped(model, OPTIMIZERS[kind](model.parameters()))
    state = TrainState(step=3, data={"epoch": 1, "position": 2, "examples": 9}, losses=[0.1, 0.2])
    folder = save_checkpoint(tmp_path / "checkpoint", model, optimizer, state)
    copy = network()
    copied = OPTIMIZERS[kind](copy.parameters())
    loaded = load_checkpoint(folder, copy, copied)
    assert loaded == state
    loaded.random.restore()
    stepped(copy, copied)
    state.random.restore()
    stepped(model, optimizer)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, copy.state_dict()[name]), name


def test_every_generator_goes_on_where_it_was(tmp_path):
    def draw():
        return random.random(), random.gauss(0, 1), np.random.normal(), torch.rand(1).item()

    draw()  # half of a pair of normal numbers is kept by two of them
    folder = save_checkpoint(tmp_path / "checkpoint", network())
    expected = [draw() for _ in range(3)]
    load_checkpoint(folder, network()).random.restore()
    assert [draw() for _ in range(3)] == expected


def test_weights_open_in_any_reader_under_the_models_own_names(tmp_path):
    model = network()
    folder = save_checkpoint(tmp_path / "checkpoint", model)
    with safe_open(folder / "model.safetensors", "np") as file:
        assert set(file.keys()) == set(model.state_dict())
        assert file.metadata() is None


def test_tied_parameters_are_stored_once_and_stay_tied(tmp_path):
    def tied():
        model = nn.ModuleDict({"embed": nn.Embedding(7, 4), "head": nn.Linear(4, 7, bias=False)})
        model["head"].weight = model["embed"].weight
        return model

    model, copy = tied(), tied()
    folder = save_checkpoint(tmp_path / "checkpoint", model)
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert list(file.keys()) == ["embed.weight"]
    load_checkpoint(folder, copy)
    assert torch.equal(copy["head"].weight, model["embed"].weight)
    assert copy["head"].weight is copy["embed"].weight


def test_equal_models_give_equal_bytes(tmp_path):
    model = network()
    for name in ("a", "b"):
        save_checkpoint(tmp_path / name, model)
    a, b = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert a == b


def test_a_checkpoint_is_never_written_over_another(tmp_path):
    save_checkpoint(tmp_path / "checkpoint", network())
    before = (tmp_path / "checkpoint" / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError):
        save_checkpoint(tmp_path / "checkpoint", network())
    assert (tmp_path / "checkpoint" / "model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_another_model_is_refused_with_the_differences(tmp_path):
    folder = save_checkpoint(tmp_path / "checkpoint", network())
    other = network(width=6)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(folder, other)
    assert re.search(r"0\.weight: \(5, 3\).*\(6, 3\)", str(error.value))
    assert all(torch.equal(before[name], t) for name, t in other.state_dict().items())
    with pytest.raises(CheckpointError, match="and 1 more"):
        load_checkpoint(folder, nn.Sequential(*(nn.Linear(1, 1) for _ in range(4))))


def test_another_optimizer_is_refused(tmp_path):
    model = network()
    folder = save_checkpoint(tmp_path / "c", model, OPTIMIZERS["sgd"](model.parameters()))
    with pytest.raises(CheckpointError, match=r"SGD.*Adam"):
        load_checkpoint(folder, model, OPTIMIZERS["adam"](model.parameters()))
    folder = save_checkpoint(tmp_path / "d", model)
    with pytest.raises(CheckpointError, match="no optimizer"):
        load_checkpoint(folder, model, OPTIMIZERS["adam"](model.parameters()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_or_cut_file_is_noticed(tmp_path_factory, data):
    folder = save_checkpoint(tmp_path_factory.mktemp("c") / "checkpoint", network())
    name = data.draw(st.sampled_from(["model.safetensors", "optimizer.safetensors", "state.json"]))
    content = bytearray((folder / name).read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        load_checkpoint(folder, network())


def test_a_missing_file_a_foreign_manifest_and_a_newer_format_are_refused(tmp_path):
    folder = save_checkpoint(tmp_path / "checkpoint", network())
    manifest = json.loads((folder / "manifest.json").read_text())

    def refused(message, **changes):
        (folder / "manifest.json").write_text(json.dumps(manifest | changes))
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(folder, network())

    refused("format 2", format=2)
    refused("manifest.json", files={"../other": {"size": 1, "sha256": "0" * 64}})
    refused("manifest.json", files={})
    refused("no readable manifest", files=3)
    (folder / "state.json").unlink()
    refused("state.json is missing")
    (folder / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match=str(folder)):
        load_checkpoint(folder, network())


def test_pickled_weights_are_refused_unread(tmp_path):
    file = tmp_path / "model.pt"
    torch.save(network().state_dict(), file)
    with pytest.raises(CheckpointError, match="never read"):
        load_checkpoint(file, network())
