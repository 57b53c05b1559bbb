"""Figures: what they show, and that equal ones are equal files."""

import numpy as np
import pytest
from research_viz import confusion_matrix, learning_curves, save_figure


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_confusion_matrix_writes_every_count_that_is_not_zero():
    figure = confusion_matrix([[5, 0], [2, 7]], ["cat", "dog"], "who is who")
    assert sorted(texts(figure)) == ["2", "5", "7"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["cat", "dog"]


def test_confusion_matrix_bears_a_class_without_examples():
    figure = confusion_matrix([[3, 1], [0, 0]])
    assert np.isfinite(figure.axes[0].images[0].get_array()).all()


@pytest.mark.parametrize(
    ("counts", "labels", "message"),
    [([[1, 2, 3]], None, "square"), ([1, 2], None, "square"), ([[1]], ["a", "b"], "2 labels")],
)
def test_confusion_matrix_refuses_what_is_none(counts, labels, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(counts, labels)


def test_learning_curves_draw_one_line_a_curve_told_apart_without_colour():
    figure = learning_curves({"a": ([1, 2], [3, 4]), "b": ([1, 2], [5, 6])}, "loss")
    lines = figure.axes[0].get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[3, 4], [5, 6]]
    assert len({line.get_linestyle() for line in lines}) == 2
    with pytest.raises(ValueError, match="no curve"):
        learning_curves({}, "loss")


def test_equal_figures_are_equal_files(tmp_path):
    for name in ("one", "two"):
        save_figure(learning_curves({"a": ([1, 2], [3, 4])}, "loss"), tmp_path / name / "figure")
    for format in ("png", "svg"):
        first, second = (tmp_path / name / f"figure.{format}" for name in ("one", "two"))
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 1000
    assert len(list((tmp_path / "one").iterdir())) == 2
