"""Give a command-line word the type of its config key: a number, a list, or text as it stands.

| the key wants | `key=WORD` is |
|---|---|
| `str`, a path, a choice of texts | the word as it stands: `a #b`, `@home`, `1e5`, `null`, `[a` |
| `bool`, `int`, `float`, list, dict, section | YAML 1.2: `true`, `1e4`, `3e-4`, `[0.9, 0.99]` |
| `str | None` | `null` is None; every other word as it stands |
| `int | str` and the like | the YAML 1.2 value if it has one of the other types, else text |
"""

import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from research_train.errors import ConfigError

NULL = "null"  # the word for None if a key accepts text as well

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def typed(word: str, wanted: object, parse: Callable[[str], Any]) -> Any:
    """The value of a word for a key of type wanted.

    parse: reads YAML 1.2 and raises ConfigError, which is passed on if the key accepts no text.
    """
    choices = _alternatives(wanted)
    texts = [each for each in choices if _takes_text(each)]
    others = [each for each in choices if not _takes_text(each)]
    if not texts:
        return parse(word)
    if not others or word in _literal_texts(texts):
        return word
    if others == [type(None)]:
        return None if word == NULL else word
    try:
        value = parse(word)
    except ConfigError:
        return word
    if value is None and (word != NULL or type(None) not in others):
        return word
    return value if any(_fits(value, each) for each in others) else word


def annotation_at(model: type[BaseModel], key: str) -> object | None:
    """The type of a dotted key: a field, a section's field or a dict's value; None: unknown key."""
    wanted: object = model
    for part in key.split("."):
        below = [_below(each, part) for each in _alternatives(wanted)]
        found = [each for each in below if each is not None]
        if not found:
            return None
        wanted = found[0]
    return wanted


def _below(wanted: object, part: str) -> object | None:
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        field = wanted.model_fields.get(part)
        return field.annotation if field else None
    arguments = get_args(wanted)
    if get_origin(wanted) in (dict, Mapping) and len(arguments) == 2:
        return arguments[1]
    return None


def _alternatives(wanted: object) -> list[object]:
    """The members of a union, without Annotated, aliases and NewTypes around them."""
    origin = get_origin(wanted)
    if origin is Annotated:
        return _alternatives(get_args(wanted)[0])
    if origin in (Union, types.UnionType):
        return [each for member in get_args(wanted) for each in _alternatives(member)]
    if origin is Literal:
        return [Literal[value] for value in get_args(wanted)]
    # The type behind a `type` statement or a NewType.
    named = getattr(wanted, "__value__", None) or getattr(wanted, "__supertype__", None)
    return _alternatives(named) if named is not None else [wanted]


def _takes_text(wanted: object) -> bool:
    if get_origin(wanted) is Literal:
        return isinstance(get_args(wanted)[0], str)
    if not isinstance(wanted, type):
        return False
    if issubclass(wanted, Enum):
        return all(isinstance(each.value, str) for each in wanted)
    return issubclass(wanted, str | bytes | PurePath)


def _literal_texts(texts: list[object]) -> set[object]:
    return {get_args(each)[0] for each in texts if get_origin(each) is Literal}


def _fits(value: object, wanted: object) -> bool:
    if isinstance(value, float) and value.is_integer() and wanted is int:
        return True  # 1e4 steps
    adapter: TypeAdapter[Any]
    try:
        adapter = TypeAdapter(wanted, config=_STRICT)  # type: ignore[arg-type]  # any annotation
    except PydanticUserError:  # a type with its own config, such as a model
        adapter = TypeAdapter(wanted)  # type: ignore[arg-type]
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except (ValidationError, ValueError, TypeError, RecursionError):
        return False
    return True
