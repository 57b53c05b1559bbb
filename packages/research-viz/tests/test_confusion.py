"""Confusion matrices: counts in the cells, shares in the colours."""

import numpy as np
import pytest
from research_viz import confusion_matrix


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_count_that_is_not_zero_is_written():
    figure = confusion_matrix([[5, 0], [2, 7]], ["cat", "dog"], "who is who")
    assert sorted(texts(figure)) == ["2", "5", "7"]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["cat", "dog"]


def test_colours_are_shares_of_the_true_class():
    figure = confusion_matrix([[3, 1], [0, 2]])
    assert figure.axes[0].images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]


def test_a_class_without_examples_is_drawn():
    figure = confusion_matrix([[3, 1], [0, 0]])
    assert np.isfinite(figure.axes[0].images[0].get_array()).all()


@pytest.mark.parametrize("classes", [1, 12, 100])
def test_long_names_and_large_counts_stay_on_the_canvas(classes, inside):
    names = [f"{index}, a class with a name that is long indeed" for index in range(classes)]
    figure = confusion_matrix(np.eye(classes, dtype=int) * 1234567, names, names[0] * 5)
    inside(figure)
    assert len(texts(figure)) == (classes if classes < 41 else 0)
    assert max(figure.get_size_inches()) < 20


@pytest.mark.parametrize(
    ("counts", "labels", "message"),
    [
        ([[1, 2, 3]], None, "square"),
        ([1, 2], None, "square"),
        ([], None, "square"),
        ([[1]], ["a", "b"], "2 labels"),
        ([[1]], [], "0 labels"),
        ([[1, 2], [-1, 3]], None, "counts: -1 at row 1, column 0"),
        ([[np.nan]], None, "counts: nan at position 0, 0"),
        ([["many"]], None, "counts: .*numbers"),
    ],
)
def test_counts_that_cannot_be_drawn_are_refused(counts, labels, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(counts, labels)
