"""Turn config.yaml and `key=value` words into the experiment's typed Config."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from research_data.shown import brief, did_you_mean

from research_train.errors import ConfigError
from research_train.experiment.config import TrainConfig
from research_train.experiment.config_keys import config_class, keys_of, section_of
from research_train.experiment.members import Experiment
from research_train.experiment.typed_words import annotation_at, typed
from research_train.experiment.yaml_file import parse_yaml, read_yaml

COMMAND_LINE = "command line"


def load_config(
    experiment: Experiment, overrides: Sequence[str] = (), file: Path | None = None
) -> TrainConfig:
    """The experiment's Config from its YAML and `key=value` words. file: used instead of its YAML.

    Raises ConfigError if the YAML can't be read, isn't a mapping, repeats a key or has tags; for an
    unknown, missing or wrongly typed key; and for a value out of range.
    """
    file = file or experiment.config_file
    model = config_class(experiment)
    where = _shown(file, experiment)
    values = read_yaml(file, where)
    words: dict[str, str] = {}
    for word in overrides:
        key, value = _split(word)
        _set(values, key, _typed(value, annotation_at(model, key), word))
        words[key] = value
    _refuse_unknown(values, model, where, words)
    return _validate(model, values, where, words)


def _typed(value: str, wanted: object, word: str) -> Any:
    where = f"{COMMAND_LINE}, {brief(word)}"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where}: it isn't UTF-8 text") from error
    if wanted is None:  # an unknown key: it is refused later, whatever its value
        with suppress(ConfigError):
            return parse_yaml(value, where)
        return value
    return typed(value, wanted, lambda text: parse_yaml(text, where))


def _split(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    if not all(part.isidentifier() for part in key.split(".")):
        raise ConfigError(f"{COMMAND_LINE}: {brief(word)} is not of the form key=value")
    return key, value


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        below = values.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigError(
                f"{COMMAND_LINE}: {key!r}: {parent!r} is {brief(below)}, which has no keys"
            )
        values = below
    values[last] = value


def _refuse_unknown(
    values: dict[str, Any], model: type[BaseModel], where: str, words: Mapping[str, str]
) -> None:
    known = [key.name for key in keys_of(model, {})]
    for key, value in _unknown(values, model, ""):
        place = COMMAND_LINE if _given(key, words) else where
        raise ConfigError(
            f"{place}: unknown key {brief(key)} = {brief(value)}.{did_you_mean(key, known)} "
            "`train --help` lists all keys."
        )


def _given(key: str, words: Mapping[str, str]) -> bool:
    """Whether the command line set the key, a key inside it, or a section around it."""
    return any(f"{w}.".startswith(f"{key}.") or f"{key}.".startswith(f"{w}.") for w in words)


def _unknown(
    values: dict[str, Any], model: type[BaseModel], prefix: str
) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in model.model_fields:
            yield name, value
        elif isinstance(value, dict) and (section := section_of(model.model_fields[key])):
            yield from _unknown(value, section, f"{name}.")


def _validate(
    model: type[TrainConfig], values: dict[str, Any], where: str, words: Mapping[str, str]
) -> TrainConfig:
    # Validated as strict JSON: "1" isn't a number and true isn't an integer, but a list can become
    # a tuple.
    try:
        text = json.dumps(values)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{where}: it isn't plain data ({error})") from error
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        # Only now it is known that the key wants an integer, which may be written as 1e4.
        key = ".".join(str(part) for part in problem["loc"])
        value = problem["input"]
        if problem["type"] in ("int_type", "int_from_float") and (
            isinstance(value, float) and value.is_integer()
        ):
            _set(values, key, int(value))
            return _validate(model, values, where, words)
        place = COMMAND_LINE if _given(key, words) else where
        if problem["type"] == "missing":
            doc = next((k.doc for k in keys_of(model, {}) if k.name == key), "")
            raise ConfigError(f"{place}: key {key!r} is missing. {doc}".rstrip()) from error
        message = problem["msg"].replace("Input should", "should", 1)
        subject = f"{key!r} = {brief(value)}" if key else "the config"
        raise ConfigError(f"{place}: {subject}: {message}") from error


def _shown(file: Path, experiment: Experiment) -> str:
    try:
        return str(file.resolve().relative_to(experiment.member.workspace.resolve()))
    except ValueError:
        return str(file)
