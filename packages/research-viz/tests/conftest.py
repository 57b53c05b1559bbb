"""What the tests of several figures ask."""

import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import settings
from matplotlib.text import Text

# By default a slow example fails, as one may be on a machine that does other work too.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")


def _texts(figure):
    """What is drawn: matplotlib keeps texts of ticks beyond the ends of an axis as well."""
    beyond = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                beyond |= {tick.label1, tick.label2}
    texts = set(figure.findobj(Text)) - beyond
    return [text for text in texts if text.get_visible() and text.get_text()]


@pytest.fixture
def written():
    """figure -> every text on it, lines joined."""
    return lambda figure: [" ".join(text.get_text().split()) for text in _texts(figure)]


@pytest.fixture
def inside():
    """Assert that no text of a figure is cut by its canvas, drawn without a display."""

    def check(figure):
        figure.draw_without_rendering()
        width, height = figure.bbox.size
        assert np.isfinite([width, height]).all()
        for text in _texts(figure):
            left, bottom, right, top = text.get_window_extent().extents
            assert left >= -0.5, text.get_text()
            assert right <= width + 0.5, text.get_text()
            assert bottom >= -0.5, text.get_text()
            assert top <= height + 0.5, text.get_text()

    return check


@pytest.fixture(autouse=True)
def no_global_state():
    """Whatever is drawn, the caller's settings stay, and pyplot keeps no figure."""
    before = dict(matplotlib.rcParams)
    yield
    assert dict(matplotlib.rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
