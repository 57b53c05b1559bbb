"""Figures on disk: equal ones are equal files, and a failure leaves nothing behind."""

import subprocess
import sys

import matplotlib
import pytest
from research_viz import draw_once, learning_curves, save_figure


def figure():
    return learning_curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [[3, 4], [5, 7]])}, "loss")


def test_equal_figures_are_equal_files(tmp_path):
    for name in ("one", "two"):
        save_figure(figure(), tmp_path / name / "figure", formats=("png", "svg", "pdf"))
    for format in ("png", "svg", "pdf"):
        first, second = (tmp_path / name / f"figure.{format}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 1000
    assert len(list((tmp_path / "one").iterdir())) == 3


def test_files_hold_no_date_and_no_version(tmp_path):
    for path in save_figure(figure(), str(tmp_path / "figure"), ["png", "svg", "pdf"]):
        content = path.read_bytes()
        for word in (b"CreationDate", b"dc:date", matplotlib.__version__.encode()):
            assert word not in content


def test_by_default_png_and_svg_and_a_dot_in_the_name_stays(tmp_path):
    paths = save_figure(figure(), tmp_path / "lr=0.1")
    assert [path.name for path in paths] == ["lr=0.1.png", "lr=0.1.svg"]


def test_a_figure_is_drawn_again_only_of_something_else_or_where_it_was_changed(tmp_path):
    drawn = []

    def draw():
        drawn.append(1)
        return figure()

    for of, times in ([1.5], 1), ([1.5], 1), ([2.5], 2):
        png, svg = draw_once(tmp_path / "figure", of, draw)
        assert len(drawn) == times
    before = png.read_bytes()
    png.unlink()
    svg.write_text("")
    assert draw_once(tmp_path / "figure", [2.5], draw) == [png, svg]
    assert png.read_bytes() == before and svg.stat().st_size > 1000 and len(drawn) == 3


def test_the_readers_settings_change_nothing(tmp_path):
    save_figure(figure(), tmp_path / "one")
    theirs = {"font.size": 30, "savefig.bbox": "tight", "svg.fonttype": "none", "lines.color": "r"}
    with matplotlib.rc_context(theirs):
        save_figure(figure(), tmp_path / "two")
    for format in ("png", "svg"):
        one, two = (tmp_path / f"{name}.{format}" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path):
    (path,) = save_figure(figure(), tmp_path / "figure", ["png"])
    before = path.read_bytes()
    broken = figure()
    broken.set_size_inches(1e6, 1e6)
    with pytest.raises(ValueError, match="too large"):
        save_figure(broken, tmp_path / "figure", ["png"])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("formats", [["gif"], []])
def test_unknown_formats_are_refused(tmp_path, formats):
    with pytest.raises(ValueError, match="png, svg, pdf"):
        save_figure(figure(), tmp_path / "figure", formats)


def test_neither_a_display_nor_pyplot_nor_matplotlib_before_it_is_needed(tmp_path):
    program = """
import os, sys
os.environ.pop("DISPLAY", None)
import research_viz
assert "matplotlib" not in sys.modules and "numpy" not in sys.modules
print(research_viz.with_interval(93.62, 0.68))
assert "matplotlib" not in sys.modules
research_viz.save_figure(research_viz.comparison({"a": [1, 2]}, "x"), "figure")
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert len(list(tmp_path.iterdir())) == 2
