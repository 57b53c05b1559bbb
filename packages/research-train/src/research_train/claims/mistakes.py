"""Explain what is wrong in a claims.yaml: file, line, claim and key."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from research_data.shown import did_you_mean
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq


def explained(
    path: Path,
    content: Mapping[str, object],
    error: ValidationError,
    keys: Collection[str],
    claim_keys: Collection[str],
) -> list[str]:
    """One line for each mistake: file, line, claim, key, what is wrong, and the value seen.

    content: what the file holds. keys, claim_keys: those that the file and a claim may have.
    """
    lines = []
    marked = YAML(typ="rt", pure=True).load(path)  # with the line of every key
    claims = content.get("claims")
    for problem in error.errors():
        where = list(problem["loc"])
        line = _line_of(marked, where)
        named, known = "", keys
        if where[:1] == ["claims"] and len(where) > 1 and isinstance(claims, list):
            claim = claims[int(where[1])]
            name = claim.get("name") if isinstance(claim, dict) else None
            named, known = f"claim {name or int(where[1]) + 1}: ", claim_keys
            where = where[2:]
        key = ".".join(map(str, where))
        seen = "" if problem["type"] == "missing" else f" (it is {problem['input']!r})"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "string_pattern_mismatch":
            message = "use only lower-case letters, digits, dots and hyphens"
        if problem["type"] == "extra_forbidden":
            message = f"there is no such key.{did_you_mean(str(where[-1]), known)}"
            seen = ""
        place = f"{path}, line {line}: {named}"
        lines.append(f"{place}{key + ': ' if key else ''}{message}{seen if key else ''}")
    return lines


def _line_of(marked: CommentedMap, where: Sequence[str | int]) -> int:
    """The line of a key; of the nearest enclosing key where the file lacks it."""
    node: Any = marked
    line = 1
    for part in where:
        if isinstance(node, CommentedMap) and part in node:
            line = node.lc.key(part)[0] + 1
        elif isinstance(node, CommentedSeq) and isinstance(part, int):
            line = node.lc.item(part)[0] + 1
        else:
            break
        node = node[part]
    return line
