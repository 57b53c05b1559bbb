"""Check the name and the citation of a new paper or project."""

import re
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name
from research_data.errors import UnreadableError, UsageError
from research_data.plain_files import read_toml
from research_train.experiment.workspace_members import TRAINABLE, workspace_members

Kind = Literal["paper", "project"]
LONGEST = 40  # characters: a name appears in every command, table and run
# 2011.14439v2, or before 2007 cs/0112017 and math.GT/0309136: year, month, number.
ARXIV = re.compile(
    r"\d\d(?:0[1-9]|1[0-2])\.\d{4,5}(?:v[1-9]\d*)?"
    r"|[a-z]+(?:-[a-z]+)?(?:\.[A-Z]{2})?/\d\d(?:0[1-9]|1[0-2])\d{3}(?:v[1-9]\d*)?"
)
OF_HERE = (
    "editable",
    "virtual",
    "directory",
)  # keys of `source` in a lock that name a member's folder
FORM = "lower case letters a to z, digits, and hyphens between them, such as `grokking-2`"


def check_name(name: str, kind: Kind, workspace: Path) -> None:
    """Raise UsageError unless a new member can have this name. Python's keywords are allowed."""
    for problem in _problems(name, kind, workspace):
        raise UsageError(f"{kind} {name!r}: {problem}")


def module_of(name: str, kind: Kind) -> str:
    """The Python package of a member, paper_noisy_line."""
    return f"{kind}_{name.replace('-', '_')}"


def check_arxiv(identifier: str) -> None:
    """Raise UsageError unless it is an arXiv identifier: 2011.14439, cs/0112017."""
    if not ARXIV.fullmatch(identifier):
        raise UsageError(
            f"--arxiv {identifier!r}: not an arXiv identifier. Write it as in the paper's "
            "address, 2011.14439, or cs/0112017 for a paper before 2007"
        )


def check_year(year: int) -> None:
    """Raise UsageError unless a paper can have been published in this year."""
    if not 1900 <= year <= date.today().year + 1:
        raise UsageError(f"--year {year}: must be between 1900 and {date.today().year + 1}")


def check_line(option: str, text: str) -> None:
    """Raise UsageError for a text that isn't one line of printable characters."""
    if not text.strip() or not text.isprintable() or len(text) > 300:
        raise UsageError(f"{option} {text[:40]!r}: must be one line of 1 to 300 characters")


def _problems(name: str, kind: Kind, workspace: Path) -> Iterator[str]:
    if not name.strip():
        yield f"the name is empty. Names are {FORM}"
    if "/" in name or "\\" in name or name in (".", ".."):
        yield f"this is a path; give only the name, the folder is {kind}s/NAME. Names are {FORM}"
    if len(name) > LONGEST:
        yield f"the name has {len(name)} characters; at most {LONGEST} are allowed"
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        meant = f". Did you mean {plain!r}?" if plain and name.isascii() else ""
        yield f"names are {FORM}{meant}"
    for prefix in ("paper-", "project-"):
        if name.startswith(prefix):
            short = name.removeprefix(prefix)
            yield f"leave out the {prefix!r}: `{short}` becomes the distribution {kind}-{short}"
    yield from _taken(name, kind, workspace)


def _taken(name: str, kind: Kind, workspace: Path) -> Iterator[str]:
    other = "Choose another name."
    for place in (f"papers/{name}", f"projects/{name}"):
        if (workspace / place).is_dir() and any((workspace / place).iterdir()):
            yield f"{place} exists already. {other}"
    for member in workspace_members(workspace, TRAINABLE, unread=True):
        if any(canonicalize_name(each) == name for each in (member.name, member.folder.name)):
            yield f"{member.folder} has the same name, or nearly. {other}"
    for taken in _locked(workspace):
        if taken in (name, f"{kind}-{name}"):
            yield f"uv.lock already has a package {taken}. {other}"
    module = module_of(name, kind)
    if (spec := find_spec(module)) and spec.origin:
        yield f"a module {module} exists already, {spec.origin}. {other}"


def _locked(workspace: Path) -> list[str]:
    """The distributions in uv.lock, but not members without a folder; none if it can't be read."""
    try:
        content = read_toml(workspace / "uv.lock")
        return [
            str(package["name"])
            for package in content.get("package", [])
            # A `paper new` that was killed can leave a member in the lock without a folder.
            if all((workspace / str(package["source"].get(k, "."))).is_dir() for k in OF_HERE)
        ]
    except (UnreadableError, KeyError, TypeError, AttributeError):
        return []
