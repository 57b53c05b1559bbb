"""Draw a figure only if it isn't there: importing matplotlib and drawing take a second."""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_once(stem: Path | str, of: object, draw: Callable[[], "Figure"]) -> list[Path]:
    """The files stem.png and stem.svg of a figure, which are drawn if they aren't of the same.

    of: all that the figure shows, which its `repr` must tell whole (an array's does not). draw:
    makes the figure, by functions of this package; not called if both files were drawn of the same
    by the same versions of it and of matplotlib, as they say in their metadata.
    """
    stem = Path(stem)
    code = [file.read_text(encoding="utf-8") for file in sorted(Path(__file__).parent.glob("*.py"))]
    digest = hashlib.sha256(repr([of, code, version("matplotlib")]).encode()).hexdigest()
    files = [stem.with_name(f"{stem.name}.{format}") for format in ("png", "svg")]
    if all(file.is_file() and digest.encode() in file.read_bytes() for file in files):
        return files
    from research_viz.saving import save_figure

    return save_figure(draw(), stem, description=f"of {digest}")
