"""The Vision Transformer: its size, its patches, bad input. test_pretrained.py has its outputs."""

from dataclasses import replace

import pytest
import torch
from parity import moved
from research_models import ViT, ViTConfig, parameter_count

SMALL = ViTConfig(image_size=12, patch_size=4, classes=5, width=16, layers=2, heads=2)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 86_567_656),  # ViT-B/16 as published, with the head of ImageNet
        ({"width": 1024, "layers": 24, "heads": 16}, 304_326_632),
        ({"patch_size": 32}, 88_224_232),
    ],
)
def test_a_published_size_has_its_parameters(changes, count):
    with torch.device("meta"):
        model = ViT(ViTConfig(**changes))
    assert parameter_count(model) == count


def test_it_compiles_as_one_graph():
    torch.compiler.reset()
    torch.manual_seed(0)
    model, images = moved(ViT(SMALL)), torch.randn(2, 3, 12, 12)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(images), model(images))


def test_patches_are_read_row_by_row():
    """A change of one patch changes the input of its place alone, the class token coming first."""
    torch.manual_seed(0)
    model = moved(ViT(replace(SMALL, layers=0)))
    images = torch.randn(1, 3, 12, 12)
    other = images.clone()
    other[:, :, 4:8, 8:12] += 1  # second row, third column
    changed = (model.hidden(images) != model.hidden(other)).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == [1 + 3 * 1 + 2]


def test_initial_weights_are_the_authors():
    torch.manual_seed(0)
    model = ViT(ViTConfig(patch_size=32, width=256, layers=2, heads=4))
    layer = model.stack.layers[1]
    for weight, fans in (
        *((each, 512) for each in layer.attention.query_key_value.weight.chunk(3)),
        (layer.attention.output.weight, 512),
        (layer.feed_forward.input.weight, 1280),
        (layer.feed_forward.output.weight, 1280),
    ):
        bound = (6 / fans) ** 0.5
        assert weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    patches = model.patch_embedding.weight
    assert patches.std().item() == pytest.approx((3 * 32**2) ** -0.5, rel=0.01)
    assert patches.abs().max() < 2.3 * patches.std()
    assert model.position_embedding.std().item() == pytest.approx(0.02, rel=0.03)
    assert not model.class_token.any()
    assert not any(each.any() for name, each in model.named_parameters() if name.endswith("bias"))


def test_the_head_begins_at_zero():
    assert not ViT(SMALL)(torch.randn(2, 3, 12, 12)).any()


@pytest.mark.parametrize("shape", [(2, 1, 12, 12), (2, 3, 8, 12), (3, 12, 12)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"\(batch, 3, 12, 12\), got \(" + str(shape[0])):
        ViT(SMALL)(torch.randn(shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 5}, "5, 12"),
        ({"patch_size": 0}, r"^patch_size .*0$"),
        ({"image_size": -4}, r"^image_size .*-4$"),
        ({"classes": 0}, r"^classes .*0$"),
        ({"channels": 0}, r"^channels .*0$"),
        ({"heads": 3}, "3 heads, width 16"),
        ({"activation": "gelo"}, "did you mean 'gelu'"),
    ],
)
def test_a_config_that_no_model_has_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)
