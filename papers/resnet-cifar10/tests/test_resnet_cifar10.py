"""The augmentation, and the whole path from a hub that holds generated images."""

import io
import os
import shutil

import numpy as np
import pytest
import torch
from hub_server import add_repo, running_hub
from paper_resnet_cifar10.model import Classifier, augment
from research_models import parameter_count
from research_train import evaluate_run, find_member, installed_members, new_run, train_run

CLASSES = [*"abcdefghij"]


def parquet(images, labels):
    """The bytes of a parquet file as the hub's: images as PNG, labels of named classes."""
    from datasets import ClassLabel, Dataset, Features, Image

    features = Features({"img": Image(), "label": ClassLabel(names=CLASSES)})
    content = io.BytesIO()
    Dataset.from_dict({"img": images, "label": labels}, features).to_parquet(content)
    return content.getvalue()


def cifar(seed, count, shape=(32, 32, 3)):
    """Images whose class shows in their brightness."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=count)
    pixels = 25 * labels[:, None, None, None] + rng.integers(25, size=(count, *shape))
    return parquet([Image.fromarray(each.astype(np.uint8)) for each in pixels], labels.tolist())


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("RESEARCH_ASSETS", str(tmp_path / "assets"))
    return find_member("resnet-cifar10", installed_members()).experiment()


@pytest.fixture
def hub(experiment, tmp_path, monkeypatch):
    """A hub with generated images under the commit that the paper pins."""

    def add(**files):
        names = {f"plain_text/{name}-00000-of-00001.parquet": data for name, data in files.items()}
        made = add_repo(tmp_path / "hub", "datasets", "uoft-cs/cifar10", names)
        folder = tmp_path / "hub" / "datasets" / "uoft-cs" / "cifar10"
        (need,) = experiment.member.pyproject.hub_needs
        commit = need.name.partition("@")[2]
        shutil.move(folder / made, folder / commit)
        for file in folder.glob("*.json"):
            file.write_text(file.read_text().replace(made, commit))

    with running_hub(tmp_path / "hub") as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        assert os.environ["HF_ENDPOINT"].startswith("http://127.0.0.1")
        yield add


def test_a_crop_is_of_the_padded_image_and_half_are_mirrored():
    image = torch.rand(1, 3, 32, 32) + 1
    padded = torch.nn.functional.pad(image[0], (4, 4, 4, 4))
    crops = {
        (top, left, mirrored): padded[:, top : top + 32, left : left + 32].flip(
            [2] if mirrored else []
        )
        for top in range(9)
        for left in range(9)
        for mirrored in (False, True)
    }
    every = torch.stack(list(crops.values())).flatten(1)
    found = (
        augment(image.expand(400, -1, -1, -1)).flatten(1)[:, None, ::97] == every[:, ::97]
    ).all(2)
    assert (found.sum(1) == 1).all()
    kinds = [list(crops)[i] for i in found.int().argmax(1).tolist()]
    assert {top for top, _, _ in kinds} == {left for _, left, _ in kinds} == set(range(9))
    assert 140 < sum(mirrored for _, _, mirrored in kinds) < 260


def test_only_training_augments():
    model = Classifier(8, torch.zeros(3, 32, 32)).eval()
    images = torch.randint(256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(model(images), model(images))
    assert parameter_count(Classifier(20, torch.zeros(3, 32, 32))) == 269_722


def test_it_pulls_trains_and_evaluates(experiment, hub):
    hub(train=cifar(0, 300), test=cifar(1, 100))
    words = ["depth=8", "steps=30", "batch_size=32", "held_out=50", "divide_at=[20, 25]"]
    run = new_run(experiment, [*words, "tensorboard=false"])
    run.quiet = True
    train_run(run, experiment)
    found = run.record.metrics
    assert found["test/error"] < 0.8  # chance is 0.9
    assert "validation/error" in found
    evaluated = evaluate_run(run, experiment).metrics
    assert evaluated["test/error"] == pytest.approx(found["test/error"])
    assert evaluated["parameters"] == found["parameters"]


def test_images_of_another_size_are_refused(experiment, hub):
    hub(train=cifar(0, 20), test=cifar(1, 10, shape=(28, 28, 3)))
    run = new_run(experiment, ["depth=8", "steps=1", "tensorboard=false"])
    with pytest.raises(Exception, match=r"test.*28"):
        train_run(run, experiment)
