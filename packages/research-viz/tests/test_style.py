"""The house style: what is told apart by colour is told apart in greyscale and by dichromats."""

import itertools

import matplotlib
import numpy as np
import pytest
from research_viz.style import (
    COLOURS,
    DASHES,
    FAINT,
    INK,
    MARKERS,
    SEQUENTIAL,
    series_colour,
    series_dashes,
    series_marker,
)

# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency", IEEE TVCG 15 (2009), doi 10.1109/TVCG.2009.113: severity 1, on linear RGB.
SEEN = {
    "by most": np.eye(3),
    "with protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "with deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
# sRGB (IEC 61966-2-1) to CIE XYZ, white D65.
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(colours):
    rgb = np.array([matplotlib.colors.to_rgb(colour) for colour in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Linear RGB (colours, 3) to CIE L*a*b*."""
    relative = np.clip(rgb, 0, 1) @ XYZ.T / XYZ.sum(axis=1)
    f = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    x, y, z = f.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def apart(values):
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(values, 2))


def test_greyscale_keeps_six_series_apart():
    lightness = lab(linear(COLOURS))[:, 0]
    assert apart(lightness[:, None]) > 10  # of 100; a step of 2 is seen side by side
    assert apart(lightness[:3, None]) > 20  # most figures have no more than three


@pytest.mark.parametrize("reader", SEEN)
def test_colours_are_told_apart(reader):
    assert apart(lab(linear(COLOURS) @ SEEN[reader].T)) > 30  # CIE 1976; 2.3 is just noticeable


def test_no_series_vanishes_on_white():
    assert (lab(linear(COLOURS))[:, 0] < 80).all()


def test_text_has_contrast_on_white():
    luminance = linear([INK, FAINT]) @ XYZ[1]
    assert (1.05 / (luminance + 0.05) > 4.5).all()  # WCAG 2.1, AA


def test_the_colour_map_darkens_all_the_way():
    lightness = lab(linear(matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 1, 64))[:, :3]))[:, 0]
    assert (np.diff(lightness) < 0).all()


def test_dashes_and_markers_differ_without_colour():
    assert len(set(DASHES)) == len(set(MARKERS)) == len(COLOURS)
    series = [(series_colour(i), series_dashes(i), series_marker(i)) for i in range(36)]
    assert len(set(series)) == 36
    assert len({dashes for _, dashes, _ in series[:6]}) == 6
