"""The README's pictures of architectures: drawn from the code, and not older than it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import draw_blocks

PACKAGE = Path(__file__).resolve().parents[1]
FIGURES = PACKAGE / "figures"


def description(path):
    """The text that goes with a picture."""
    tag = "{http://purl.org/dc/elements/1.1/}description"
    return next(ET.parse(path).iter(tag)).text


def test_the_committed_pictures_show_what_the_code_does(tmp_path):
    draw_blocks.draw(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {path.name for path in FIGURES.glob("*.svg")}
    for name in names:  # else: run draw_blocks.py
        assert description(FIGURES / name) == description(tmp_path / name)
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    assert {f"figures/{name}" for name in names} == set(re.findall(r"figures/\w+\.svg", page))


def test_a_picture_leaves_out_nothing_that_is_learned():
    for picture in draw_blocks.PICTURES:
        steps = draw_blocks.recorded(picture)
        learned = sum(parameter.numel() for parameter in picture.make().parameters())
        assert sum(step.parameters for step in steps) == learned


def test_a_residual_is_read_by_the_sum_and_by_the_layer():
    mlp = draw_blocks.PICTURES[0]
    steps = draw_blocks.recorded(mlp)
    labels = [step.label for step in steps]
    assert labels == ["x", "Linear", "relu", "Linear", "relu", "+", "Linear", "y"]
    assert [source for source, _ in steps[5].inputs] == [2, 4]
    assert [source for source, _ in steps[3].inputs] == [2]


def test_a_parameter_is_a_step_where_no_box_has_it():
    [vit] = [each for each in draw_blocks.PICTURES if each.name == "vit"]
    steps = draw_blocks.recorded(vit)
    assert [step.label for step in steps if step.parameters and not step.inputs] == [
        "class_token",
        "position_embedding",
    ]
    cat = next(step for step in steps if step.label == "cat")
    assert {steps[source].label.partition(":")[0] for source, _ in cat.inputs} == {
        "class_token",
        "patch_embedding",
    }


def test_a_view_is_no_step_but_a_change_of_shape():
    [convnet] = [each for each in draw_blocks.PICTURES if each.name == "convnet"]
    linear = draw_blocks.recorded(convnet)[-2]
    assert linear.label == "Linear"
    assert tuple(linear.inputs[0][1]) == (draw_blocks.BATCH, 125)
