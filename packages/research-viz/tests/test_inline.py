"""Figures inside a page or a notebook."""

import re
from xml.etree import ElementTree

import pytest
from IPython.core.formatters import DisplayFormatter
from research_viz import (
    ClaimRow,
    claim_plot,
    curve_panels,
    inline_svg,
    learning_curves,
    save_figure,
)


def curves(name="cnn"):
    return learning_curves({name: ([0, 1, 2], [[1, 2, 3], [1, 3, 4]])}, "test/accuracy")


def test_an_element_with_letters_as_text_and_colours_as_variables(tmp_path):
    figure = curves('<script> & "co"')
    svg = inline_svg(figure, "first", 'What <b>"it"</b> shows')
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" and root.get("aria-label") == 'What <b>"it"</b> shows'
    words = " ".join(text.text or "" for text in root.iter("text"))
    assert "test/accuracy" in words and '<script> & "co"' in words
    assert "<script" not in svg and "http" not in svg and "metadata" not in svg
    assert "var(--figure-series-1, #4f73ff)" in svg and "var(--figure-ink, #222222)" in svg
    [file] = save_figure(figure, tmp_path / "figure", ["svg"])
    assert len(svg) < file.stat().st_size


def test_ids_differ_from_figure_to_figure_and_all_are_there():
    row = ClaimRow("a", 1, 0.1, 1, None, [1], "reproduced")
    texts = [inline_svg(curves(), "first"), inline_svg(claim_plot([row]), "second")]
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in texts]
    assert not ids[0] & ids[1]
    for text, known in zip(texts, ids, strict=True):
        assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
        used = re.findall(r'(?:href="|url\()#([^")]+)', text)
        assert set(used) <= known
    with pytest.raises(ValueError, match="no space"):
        inline_svg(curves(), "no space")


def test_panels_share_colours_and_steps():
    figure = curve_panels(
        {
            "loss": {"a": ([1, 2], [2.0, 1.0]), "b": ([1, 2], [[3.0, 2.0], [4.0, 3.0]])},
            "accuracy": {"b": ([2, 4], [0.5, 0.6])},
        },
        logarithmic=["loss"],
        band={"loss": "range", "accuracy": "interval"},
    )
    first, second = figure.axes
    assert (first.get_yscale(), second.get_yscale()) == ("log", "linear")
    assert first.lines[1].get_color() == second.lines[0].get_color()
    assert first.get_xlim() == second.get_xlim()
    assert (first.get_xlabel(), second.get_xlabel()) == ("", "step")
    band = first.get_legend().get_texts()[-1].get_text()
    assert "lowest" in band and "2 seeds" in band
    with pytest.raises(ValueError, match="no panel"):
        curve_panels({})


def test_a_notebook_shows_a_figure_as_the_picture_that_is_saved(tmp_path):
    row = ClaimRow("a", 1, 0.1, 1, None, [1], "reproduced")
    for figure in (curves(), claim_plot([row])):
        shown, about = DisplayFormatter().format(figure)
        [file] = save_figure(figure, tmp_path / "figure", ["png"])
        assert shown["image/png"] == file.read_bytes()
        width, height = figure.get_size_inches() * 96
        assert about["image/png"] == pytest.approx({"width": width, "height": height}, abs=1)
