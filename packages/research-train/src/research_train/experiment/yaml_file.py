"""Read YAML 1.2 as plain data, and write it so that it reads back the same."""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import StringIO
from pathlib import Path
from typing import Any

from research_data.errors import UnreadableError
from research_data.plain_files import read_text, too_many_digits
from research_data.shown import brief
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from research_train.errors import ConfigError

MOST_VALUES = 1_000_000  # in one file, counting through aliases: ten lines can make a billion
MOST_BITS = 14_000  # of an integer: about the number of digits that Python converts to text


def read_yaml(file: Path, where: str | None = None) -> dict[str, Any]:
    """Read a YAML 1.2 mapping. Raises ConfigError, with line and column if they are known."""
    where = where or str(file)
    try:
        text = read_text(file)
    except UnreadableError as error:
        raise ConfigError(f"{where}: cannot be read ({error.reason})") from error
    values = parse_yaml(text, where)
    if not isinstance(values, dict):
        raise ConfigError(
            f"{where}: it must be a mapping of `key: value` lines, but is {_kind(values)}"
        )
    if odd := [key for key in values if not isinstance(key, str)]:
        raise ConfigError(f"{where}: the key {brief(odd[0])} must be text")
    return values


def parse_yaml(text: str, where: str) -> Any:
    """The value of a YAML 1.2 text. where: its name in errors. Raises ConfigError."""
    try:
        value = _loaded(text)
        if isinstance(value, Exception):
            raise value.with_traceback(None)
    except RecursionError as error:
        raise ConfigError(f"{where}: it is nested too deeply") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = str(error.problem or error.context).splitlines()[0]
        raise ConfigError(f"{where}{place}: {problem}") from error
    except YAMLError as error:
        raise ConfigError(f"{where}: {str(error).splitlines()[0]}") from error
    except (ValueError, OverflowError, TypeError, AttributeError, KeyError, IndexError) as error:
        # Mistakes for which ruamel.yaml raises no YAMLError: an incomplete number, an empty anchor.
        reason = (
            too_many_digits() if "digits" in str(error) else f"it can't be understood ({error})"
        )
        raise ConfigError(f"{where}: {reason}") from error
    _count(value, where, {})
    return copy.deepcopy(value)


@lru_cache(maxsize=64)  # a file is read by several functions, and takes a millisecond a line
def _loaded(text: str) -> Any:
    """The value, or why there is none: to find that a text is nested too deeply takes a second."""
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    try:
        return reader.load(text)
    except Exception as error:
        return error


def dump_yaml(values: Mapping[str, object]) -> str:
    """The values as YAML 1.2, in their order."""
    stream = StringIO()
    writer = YAML(typ="rt", pure=True)  # keeps the order; `safe` would sort the keys
    writer.Representer = _Representer
    writer.width = 2**31  # no folding of long lines, which would lose spaces
    writer.dump(dict(values), stream)
    return stream.getvalue()


class _Constructor(SafeConstructor):
    """Reads dates as text, as YAML 1.2 does, and refuses numbers out of the range of a float."""

    def construct_yaml_float(self, node: Any) -> float:
        number: float = super().construct_yaml_float(node)
        text = str(node.value).lower()
        if (math.isinf(number) and "inf" not in text) or (
            number == 0 and re.search("[1-9]", text.partition("e")[0])
        ):
            size = "large" if number else "small"
            raise ConstructorError(
                None, None, f"{brief(node.value)} is too {size} for a number", node.start_mark
            )
        return number


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)
_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_yaml_float)


class _Representer(RoundTripRepresenter):
    """Quotes text with other than printable ASCII characters with escapes, so that none is lost."""

    def represent_str(self, data: str) -> Any:
        if re.fullmatch(r"[ -~]*", data):
            return super().represent_str(data)
        return self.represent_scalar("tag:yaml.org,2002:str", data, style='"')


_Representer.add_representer(str, _Representer.represent_str)


def _count(value: object, where: str, known: dict[int, int | None]) -> int:
    """The number of values, counted through aliases. Raises ConfigError: data that isn't plain."""
    if not isinstance(value, dict | list):
        _refuse_odd(value, where)
        return 1
    counted = known.get(id(value), 0)
    if counted is None:
        raise ConfigError(f"{where}: it isn't plain data: an alias refers to a value around it")
    if not counted:
        known[id(value)] = None  # being counted
        counted = 1 + sum(_count(each, where, known) for each in _parts(value))
        known[id(value)] = counted
    if counted > MOST_VALUES:
        raise ConfigError(
            f"{where}: it has more than {MOST_VALUES} values, counted through aliases"
        )
    return counted


def _parts(value: dict[object, object] | list[object]) -> Iterator[object]:
    if isinstance(value, dict):
        yield from value  # the keys
        yield from value.values()
    else:
        yield from value


def _refuse_odd(value: object, where: str) -> None:
    if isinstance(value, int) and value.bit_length() > MOST_BITS:
        raise ConfigError(f"{where}: {too_many_digits()}")
    if isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise ConfigError(f"{where}: {brief(value)} can't be written as UTF-8 text")
    if not isinstance(value, str | int | float | bool | None):
        raise ConfigError(f"{where}: it isn't plain data: {brief(value)}")


def _kind(value: object) -> str:
    return {"list": "a list", "NoneType": "empty"}.get(type(value).__name__, brief(value))
