"""Read text, JSON and TOML files, with errors that name the file and the place.

Everything that can be wrong with such a file (missing, a folder, no permission, binary, truncated,
nested ten thousand deep, an integer of five thousand digits) is an UnreadableError.
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from research_data.errors import UnreadableError, reason_of

DEEPEST = 100  # levels of lists and objects in a JSON file; ours have six


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without the byte order mark that some editors add.

    Raises UnreadableError.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UnreadableError(path, reason_of(error), missing=_is_missing(error)) from error
    except UnicodeDecodeError as error:
        raise UnreadableError(path, f"is not UTF-8 text, from byte {error.start} on") from error
    except MemoryError as error:
        raise UnreadableError(path, "is larger than the memory") from error
    except ValueError as error:  # a zero byte in the path
        raise UnreadableError(path, str(error)) from error


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises UnreadableError."""
    return parse_json(read_text(path), path)


def parse_json(text: str | bytes, path: Path) -> Any:
    """The value of a JSON text. path: the file to name in errors. Raises UnreadableError."""
    try:
        value = json.loads(text)
        _refuse_depth(value, path)
        return value
    except RecursionError as error:
        raise UnreadableError(path, "is nested too deeply") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UnreadableError(path, f"is not valid JSON ({error.msg} at {place})") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(path, f"is not UTF-8 text, from byte {error.start} on") from error
    except ValueError as error:  # the only other cause: Python's limit on the digits of an integer
        raise UnreadableError(path, too_many_digits()) from error
    except MemoryError as error:
        raise UnreadableError(path, "is larger than the memory") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """The content of a JSON file that holds an object. Raises UnreadableError."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UnreadableError(path, f"must be a JSON object, but is {_kind(content)}")
    return content


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises UnreadableError."""
    text = read_text(path)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableError(path, f"is not valid TOML ({error})") from error
    except RecursionError as error:
        raise UnreadableError(path, "is nested too deeply") from error
    except ValueError as error:
        raise UnreadableError(path, too_many_digits()) from error


def table_of(content: dict[str, Any], *names: str, path: Path) -> dict[str, Any]:
    """A table of a TOML file's content by its names, as `[tool.research]`; empty if it is missing.

    Raises UnreadableError when something other than a table has that name.
    """
    for depth, name in enumerate(names, start=1):
        below: object = content.get(name, {})
        if not isinstance(below, dict):
            where = ".".join(names[:depth])
            raise UnreadableError(path, f"[{where}] must be a table, but is {_kind(below)}")
        content = below
    return content


def _refuse_depth(value: object, path: Path) -> None:
    """Refuse values so deep that a recursive function would exceed Python's recursion limit."""
    level = [value]
    for _ in range(DEEPEST):
        level = [
            below
            for each in level
            if isinstance(each, dict | list)
            for below in (each.values() if isinstance(each, dict) else each)
            if isinstance(below, dict | list)
        ]
        if not level:
            return
    raise UnreadableError(path, "is nested too deeply")


def too_many_digits() -> str:
    """The reason to give when Python refuses to read an integer."""
    return f"holds an integer of more than {sys.get_int_max_str_digits()} digits"


def _is_missing(error: OSError) -> bool:
    return isinstance(error, FileNotFoundError | NotADirectoryError)


def _kind(value: object) -> str:
    names = {list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
