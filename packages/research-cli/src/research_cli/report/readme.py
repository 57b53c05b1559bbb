"""What a paper's README tells a stranger: in a sentence or two, and by a picture."""

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LONGEST = 260  # characters of what it says, in whole sentences if the first one isn't longer
MOST_TEXT = 200_000  # characters of a README that are looked at
LARGEST = 300_000  # bytes of a picture, since it becomes a part of the page
KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
}
_HEADING = re.compile(r"^#+ what .* says?\b.*$", re.IGNORECASE | re.MULTILINE)
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_SENTENCE_END = re.compile(r"(?<=[.!?:]) (?=[A-Z“\"])")


@dataclass(frozen=True)
class Picture:
    """A picture as an address that needs no file, `data:image/png;base64,...`, and its words."""

    address: str
    words: str


def readme_text(folder: Path) -> str:
    """The README of a paper or project; empty where it can't be read, which `check` reports."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text[:MOST_TEXT]


def what_it_says(text: str) -> str:
    """The first sentences below the heading "What the paper says"; empty where there are none."""
    heading = _HEADING.search(text)
    if heading is None:
        return ""
    body = text[heading.end() :].partition("\n#")[0].strip()
    first = re.split(r"\n\s*\n|\n(?=[-*] )", body)[0]
    if first.startswith("*") and first.endswith("*"):
        return ""  # the placeholder of a new paper
    words = " ".join(_LINK.sub(r"\1", first).split()).removeprefix("- ")
    return _shortened(re.sub(r"\*\*|`", "", words))


def first_picture(folder: Path, text: str) -> Picture | None:
    """The first picture that a README shows from its own folder, unless it is very large."""
    for words, name in _PICTURE.findall(text):
        kind = KINDS.get(Path(name).suffix.lower())
        if kind is None or ":" in name:
            continue
        try:
            file = (folder / name).resolve()
            if file.is_relative_to(folder.resolve()) and 0 < file.stat().st_size <= LARGEST:
                coded = base64.b64encode(file.read_bytes()).decode()
                return Picture(f"data:{kind};base64,{coded}", words)
        except (OSError, ValueError, RuntimeError):
            continue  # not there, no name of a file, or a link that leads to itself
    return None


def _shortened(text: str) -> str:
    kept = "".join(_whole_sentences(text)) or text
    if len(kept) > LONGEST + 40:
        kept = kept[:LONGEST].rpartition(" ")[0] + " …"
    return re.sub(r":$", ".", kept.strip())


def _whole_sentences(text: str) -> Iterator[str]:
    """The first sentence, and those after it that LONGEST has room for, up to a list or table."""
    length = 0
    for sentence in _SENTENCE_END.split(text):
        if length and (length + len(sentence) > LONGEST or sentence.endswith(":")):
            return
        length += len(sentence) + 1
        yield f"{sentence} "
