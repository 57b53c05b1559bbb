"""Read what is unreleased from a package's CHANGELOG.md, and stamp it with a version.

Headings may be written `## Unreleased` or `## [Unreleased]`.
"""

import re
from datetime import date
from pathlib import Path

from packaging.version import Version
from research_data.errors import ResearchError

UNRELEASED = re.compile(r"^## (\[?)unreleased(\]?)[ \t]*$", re.IGNORECASE | re.MULTILINE)


def unreleased_entries(changelog: Path) -> list[str]:
    """The entries under Unreleased, each its first line. Raises ResearchError without such a part.

    Headings, blank lines, comments and link definitions are no entries.
    """
    text = _read(changelog)
    section = text[_heading(text, changelog).end() :]
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    section = re.sub(r"<!--.*?-->", "", section, flags=re.DOTALL)
    return re.findall(r"^(?!#|\[[^\]]+\]:)\S.*$", section, re.MULTILINE)


def stamp(changelog: Path, version: Version, day: date) -> None:
    """Give what is under Unreleased a version and a day; a fresh, empty Unreleased stands above it.

    Raises ResearchError.
    """
    text = _read(changelog)
    heading = _heading(text, changelog)
    stamped = f"{heading[0].rstrip()}\n\n## {heading[1]}{version}{heading[2]} - {day}"
    changelog.write_text(text[: heading.start()] + stamped + text[heading.end() :], "utf-8")


def _read(changelog: Path) -> str:
    try:
        return changelog.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ResearchError(
            f"{changelog}: can't be read ({error}). A package says there, under `## Unreleased`, "
            "what its next release brings."
        ) from error


def _heading(text: str, changelog: Path) -> re.Match[str]:
    if found := UNRELEASED.search(text):
        return found
    raise ResearchError(
        f"{changelog}: has no heading `## Unreleased`. Write it above the newest release's, and "
        "below it what the next release brings."
    )
