"""Draw the README's pictures anew by running its examples.

    uv run python packages/research-viz/docs/pictures.py [FOLDER]

FOLDER: where docs/*.png go, by default this package; the README's other files go to a folder
that is thrown away.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
from pathlib import Path

from PIL import Image

PACKAGE = Path(__file__).resolve().parents[1]


def examples() -> list[str]:
    """The README's blocks of Python, in their order."""
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def draw(folder: Path) -> str:
    """Run every example as a program of its own, its pictures to folder/docs.

    Returns what they print.
    """
    printed = io.StringIO()
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as elsewhere:
        before = Path.cwd()
        os.chdir(elsewhere)
        try:
            with contextlib.redirect_stdout(printed):
                for example in examples():
                    exec(
                        compile(example, str(PACKAGE / "README.md"), "exec"),
                        {"__name__": "example"},
                    )
        finally:
            os.chdir(before)
        for picture in sorted(Path(elsewhere, "docs").glob("*.png")):
            with Image.open(picture) as image:  # 128 colours, a third of the bytes: git keeps them
                flat = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
                flat.save(folder / "docs" / picture.name, optimize=True)
    return printed.getvalue()


if __name__ == "__main__":
    print(draw(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE), end="")
