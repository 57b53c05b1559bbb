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
    """The first line of each entry under Unreleased. Raises ResearchError without that heading.

    Headings, blank lines, comments and link definitions don't count as entries.
    """
    text = _read(changelog)
    section = text[_heading(text, changelog).end() :]
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    section = re.sub(r"<!--.*?-->", "", section, flags=re.DOTALL)
    return re.findall(r"^(?!#|\[[^\]]+\]:)\S.*$", section, re.MULTILINE)


def stamp(changelog: Path, version: Version, day: date) -> None:
    """Give the entries under Unreleased a version and a day, and add an empty Unreleased above.

    Raises ResearchError without that heading.
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
            f"{changelog}: can't be read ({error}). Every package needs this file, with the "
            "changes of its next release under a heading `## Unreleased`."
        ) from error


def _heading(text: str, changelog: Path) -> re.Match[str]:
    if found := UNRELEASED.search(text):
        return found
    raise ResearchError(
        f"{changelog}: has no heading `## Unreleased`. Add it above the heading of the newest "
        "release, and write the changes of the next release below it."
    )
