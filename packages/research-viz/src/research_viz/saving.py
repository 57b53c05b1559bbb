"""Figures on disk."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

FORMATS = ("png", "svg")


def save_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write figure to stem.png and stem.svg; returns the two paths.

    Equal figures give equal bytes: no date, and a fixed salt for the names inside the SVG.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = [stem.with_name(f"{stem.name}.{format}") for format in FORMATS]
    with matplotlib.rc_context({"svg.hashsalt": "research-viz"}):
        for path in paths:
            metadata = {"Date": None} if path.suffix == ".svg" else {}
            beside = path.with_name(f".{path.name}.partial")
            figure.savefig(beside, dpi=150, metadata=metadata, format=path.suffix[1:])
            beside.replace(path)
    return paths
