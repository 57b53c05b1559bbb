"""The Figure that a notebook shows as a picture.

IPython shows matplotlib's figures only once pyplot has chosen a backend, which nothing here does: a
cell that ended in a figure had `<Figure size ...>` as its output. This one brings its own picture.
"""

import io
import struct

from matplotlib.figure import Figure

from research_viz.saving import DOTS_PER_INCH, METADATA
from research_viz.style import house_style

CSS_INCH = 96  # pixels of a page in an inch; the picture has more, to be sharp on dense screens


class ShownFigure(Figure):
    """A matplotlib Figure; as the last line of a notebook's cell, its picture."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """What Jupyter asks for: the PNG that `save_figure` writes, and its size on the page."""
        written = io.BytesIO()
        with house_style():
            self.savefig(written, dpi=DOTS_PER_INCH, metadata=METADATA["png"], format="png")
        png = written.getvalue()
        width, height = struct.unpack(">II", png[16:24])
        shown = {"width": width, "height": height}
        return png, {k: round(v * CSS_INCH / DOTS_PER_INCH) for k, v in shown.items()}
