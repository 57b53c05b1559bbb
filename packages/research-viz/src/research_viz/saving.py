"""Save figures as files."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from research_viz.style import house_style

Format = Literal["png", "svg", "pdf"]

# No dates and no version of matplotlib, so that an unchanged figure gives an unchanged file.
METADATA: dict[Format, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
DESCRIBED: dict[Format, str] = {"png": "Description", "svg": "Description", "pdf": "Subject"}
DOTS_PER_INCH = 150


def save_figure(
    figure: Figure,
    stem: Path | str,
    formats: Sequence[Format] = ("png", "svg"),
    description: str | None = None,
) -> list[Path]:
    """Write figure to stem.png and stem.svg (or the given formats); returns the paths.

    description: text for the metadata of each file.
    A file is replaced in one step, never seen half written. Equal figures give equal bytes.
    """
    unknown = [format for format in formats if format not in METADATA]
    if unknown or not formats:
        problem = f"unknown {', '.join(map(repr, unknown))}" if unknown else "none given"
        raise ValueError(f"formats: {problem}; known are {', '.join(METADATA)}")
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    return [
        _save(figure, stem.with_name(f"{stem.name}.{format}"), format, description)
        for format in formats
    ]


@house_style()
def _save(figure: Figure, path: Path, format: Format, description: str | None) -> Path:
    metadata = {**METADATA[format], DESCRIBED[format]: description}
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with beside.open("wb") as file:
            figure.savefig(file, dpi=DOTS_PER_INCH, metadata=metadata, format=format)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path
