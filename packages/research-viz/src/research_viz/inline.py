"""Make small SVG figures for a web page, with real text and colours that the page may set.

    :root { --figure-ink: #222; --figure-paper: #fff; --figure-series-1: #4f73ff; }
    @media (prefers-color-scheme: dark) { :root { --figure-ink: #eee; ... } }

| variable | colour of |
|---|---|
| --figure-ink, --figure-faint | text and marks; less important text and marks |
| --figure-paper, --figure-rule, --figure-band | background; lines and grid; tolerance band |
| --figure-series-1 to -6 | the series, in order |

A variable that the page doesn't set has the colour of the house style.
"""

import io
import re

import matplotlib
from matplotlib.figure import Figure

from research_viz.claims import BAND
from research_viz.saving import METADATA
from research_viz.style import COLOURS, FAINT, INK, house_style

VARIABLES = {
    INK: "ink",
    FAINT: "faint",
    "#FFFFFF": "paper",
    "#DDDDDD": "rule",
    "#CCCCCC": "rule",
    BAND: "band",
    **{colour: f"series-{number}" for number, colour in enumerate(COLOURS, 1)},
}
_COLOUR = re.compile("|".join(VARIABLES), re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_TAG_OR_TEXT = re.compile(r"<[^>]*>|[^<]+")


def inline_svg(figure: Figure, name: str, label: str = "") -> str:
    """The figure as an `<svg>` element for an HTML page, which may have several.

    name: prefix of the ids inside, different for each figure of a page; letters, digits and
    hyphens. label: a description of the figure for people who can't see it.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        raise ValueError(
            f"name: {name!r} must start with a letter and hold only letters, digits and hyphens"
        )
    written = io.StringIO()
    with house_style():
        matplotlib.rcParams["svg.fonttype"] = "none"
        figure.savefig(written, format="svg", metadata=METADATA["svg"])
    text = written.getvalue()
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert box is not None
    body = text[text.index("</metadata>") + len("</metadata>") : text.rindex("</svg>")]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = "".join(_shorter(part, name) for part in _TAG_OR_TEXT.findall(body))
    width, height = (round(float(side) * 96 / 72) for side in box.groups())  # points to CSS pixels
    described = f' role="img" aria-label="{_escaped(label)}"' if label else ""
    return (
        f'<svg viewBox="0 0 {box[1]} {box[2]}" width="{width}" height="{height}"{described} '
        f'stroke-linejoin="round">{body}</svg>'
    )


def _shorter(part: str, name: str) -> str:
    """A tag, or the text between two tags, in as few characters as possible."""
    if not part.startswith("<"):
        return part if part.strip() else ""
    part = re.sub(r' id="[A-Za-z0-9.]+_\d+"', "", part)  # numbered ids to which nothing refers
    part = re.sub(r' transform="rotate\(-0 [^"]*\)"', "", part)
    part = re.sub(r'( id="| xlink:href="#|url\(#)', rf"\g<1>{name}-", part).replace("xlink:", "")
    part = part.replace("\n", " ").replace("'DejaVu Sans'", "'DejaVu Sans', sans-serif")
    part = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), part)
    return _COLOUR.sub(_variable, part)


def _variable(colour: re.Match[str]) -> str:
    return f"var(--figure-{VARIABLES[colour[0].upper()]}, {colour[0].lower()})"


def _escaped(text: str) -> str:
    for letter, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(letter, entity)
    return text
