"""The README: its examples run, print what it says and draw the pictures that it shows."""

import importlib.util
import re
from pathlib import Path

import pytest
from PIL import Image

PACKAGE = Path(__file__).resolve().parents[1]
PAGE = (PACKAGE / "README.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"!\[[^\]]+\]\((docs/[^)]+)\)", PAGE)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("pictures", PACKAGE / "docs" / "pictures.py")
    pictures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pictures)
    folder = tmp_path_factory.mktemp("readme")
    return folder, pictures.draw(folder)


def test_examples_draw_the_pictures_that_are_shown_and_committed(drawn):
    folder, _ = drawn
    names = {f"docs/{path.name}" for path in (folder / "docs").iterdir()}
    assert names == set(SHOWN)
    assert names == {f"docs/{path.name}" for path in (PACKAGE / "docs").glob("*.png")}
    assert len(names) == 5


def test_examples_print_what_the_page_says(drawn):
    _, printed = drawn
    for block in re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        assert block.strip() in printed


@pytest.mark.parametrize("picture", SHOWN)
def test_pictures_are_small_and_fit_a_page(picture):
    path = PACKAGE / picture
    assert path.stat().st_size < 40_000
    with Image.open(path) as image:
        assert image.width < 1300


def test_every_public_function_is_on_the_page():
    stub = (PACKAGE / "src/research_viz/__init__.pyi").read_text(encoding="utf-8")
    for name in re.findall(r"as ([a-zA-Z]\w*)", stub):
        assert re.search(rf"\b{name}\b", PAGE)
