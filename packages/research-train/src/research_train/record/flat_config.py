"""A run's config.yaml under dotted keys, read fast: a table of runs reads a thousand of them."""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from research_train.experiment.yaml_file import read_yaml
from research_train.record.folders import CONFIG

_LINE = re.compile(r"( *)(?:([A-Za-z_]\w*):|-)(?: (\S.*))?")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?(e[-+]\d+)?")
_WORD = re.compile(r"(?!(?:null|true|false)$)[a-z/][\w./@-]*")
_QUOTED = re.compile(r"'([^']*)'")
_CONSTANTS: dict[str, object] = {"true": True, "false": False, "[]": [], "{}": {}}


def read_flat_config(folder: Path) -> dict[str, object]:
    """The config of a run folder under dotted keys, `optimizer.lr`. Raises ConfigError."""
    path = folder / CONFIG
    try:
        plain = _read_plain_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        plain = None
    return plain if plain is not None else dict(_flattened(read_yaml(path), ""))


def _read_plain_yaml(text: str) -> dict[str, object] | None:
    """A config as `dump_yaml` writes nearly all, under dotted keys; None: not so plain.

    A YAML parser takes 1 ms for each, a hundred times as long, which 1,000 runs would show.
    """
    flat: dict[str, object] = {}
    sections = [(0, "")]  # indentation and prefix of those that we are in
    opened: tuple[int, str] | None = None  # a key whose list or section may follow
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        indent, key, written = len(match[1]), match[2], match[3]
        known, value = _scalar(written) if written else (True, None)
        if not known:
            return None
        if key is None:  # an element
            if opened is None or indent < opened[0] or written is None:
                return None
            elements = flat[opened[1]] = flat[opened[1]] or []
            assert isinstance(elements, list)
            elements.append(value)
            continue
        if opened is not None and indent > opened[0]:
            if flat.pop(opened[1]) is not None:  # keys inside of a list
                return None
            sections.append((indent, f"{opened[1]}."))
        while indent < sections[-1][0]:
            sections.pop()
        if indent != sections[-1][0]:
            return None
        name = sections[-1][1] + key
        flat[name] = value
        opened = (indent, name) if written is None else None
    return flat


def _scalar(text: str) -> tuple[bool, object]:
    """Whether it is plain enough to be known, and what it is."""
    if len(text) < 400 and (number := _NUMBER.fullmatch(text)):
        value = float(text) if number[1] or number[2] else int(text)
        return math.isfinite(value), value
    if quoted := _QUOTED.fullmatch(text):
        return True, quoted[1]
    if text in _CONSTANTS:
        return True, _CONSTANTS[text]
    return _WORD.fullmatch(text) is not None, text


def _flattened(values: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
