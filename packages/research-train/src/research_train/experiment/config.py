"""From config.yaml and `key=value` to the experiment's typed Config."""

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from annotated_types import Interval
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)
from pydantic.fields import FieldInfo
from research_data.shown import brief

from research_train.errors import ConfigError
from research_train.experiment.members import Experiment, did_you_mean
from research_train.experiment.words import annotation_at, typed
from research_train.experiment.yaml_file import dump_yaml as dump_yaml
from research_train.experiment.yaml_file import parse_yaml
from research_train.experiment.yaml_file import read_yaml as read_yaml

COMMAND_LINE = "command line"


class ConfigSection(BaseModel):
    """Keys that belong together, `optimizer.learning_rate`: typed, frozen, and no others allowed.

    A key's docstring is what `train --help` shows.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,  # a key that may be infinite says so: Field(allow_inf_nan=True)
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",
        protected_namespaces=(),
    )


class TrainConfig(ConfigSection):
    """The keys that every trainable experiment has; an experiment's Config adds its own.

    A Config's own keys have no defaults: their values stand in the experiment's YAML alone.
    """

    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    """Seed of every random number generator."""
    steps: PositiveInt = 1000
    """Weight updates."""
    batch_size: PositiveInt = 32
    """Examples an update."""
    device: str = "auto"
    """auto (a GPU where there is one), cpu, cuda, cuda:1, mps."""
    accumulate: PositiveInt = 1
    """Parts that a batch is split into, to need less memory; the update is the same."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward pass; the others are autocast, weights stay float32."""
    compile: bool = False
    """Compile the model with torch.compile."""
    deterministic: bool = False
    """Only kernels that give the same bits every time, where a GPU would otherwise not."""
    log_every: PositiveInt = 50
    """Steps between two lines of metrics."""
    evaluate_every: PositiveInt = 500
    """Steps between two evaluations."""
    checkpoint_every: PositiveInt = 1000
    """Steps between two checkpoints; one is always written at the end and on a stop."""
    keep_checkpoints: PositiveInt = 2
    """How many of the newest checkpoints stay on disk."""
    keep_every: NonNegativeInt = 0
    """The checkpoint of every so many steps stays as well; 0: none."""
    keep_best: Annotated[str, Field(pattern=r"^((min|max):\S+)?$")] = ""
    """The best one by a metric stays as well: max:test/accuracy, min:test/loss."""
    patience: NonNegativeInt = 0
    """End after so many evaluations without a better keep_best; 0: never."""
    checkpoint_failure: Literal["stop", "continue"] = "stop"
    """What a checkpoint that can't be written does to the training."""
    init_from: str = ""
    """A run whose last weights to start from: its id, or PAPER/ID."""
    tensorboard: bool = True
    """Write TensorBoard event files beside the metrics."""
    wandb: Literal["disabled", "offline", "online"] = "disabled"
    """Weights & Biases."""


@dataclass(frozen=True)
class Key:
    """One config key as `train --help` shows it: its dotted name, type, value and meaning."""

    name: str
    type: str
    value: str
    doc: str
    common: bool


def load_config(
    experiment: Experiment, overrides: Sequence[str] = (), file: Path | None = None
) -> TrainConfig:
    """The experiment's Config from its YAML (or file, which replaces it) and `key=value` words.

    Raises ConfigError: a YAML that can't be read, isn't a mapping, repeats a key or has tags; an
    unknown, missing or badly typed key; a value out of range.
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


def config_class(experiment: Experiment) -> type[TrainConfig]:
    """The experiment's Config. Raises ConfigError when its config.py defines none."""
    module = experiment.load("config")
    model = getattr(module, "Config", None)
    if not (isinstance(model, type) and issubclass(model, TrainConfig)):
        raise ConfigError(f"{module.__file__} defines no class Config(TrainConfig)")
    return model


def describe_keys(experiment: Experiment) -> list[Key]:
    """Every key of an experiment's Config with the value it has unless overridden."""
    return list(_describe(config_class(experiment), read_yaml(experiment.config_file), ""))


def _typed(value: str, wanted: object, word: str) -> Any:
    where = f"{COMMAND_LINE}, {brief(word)}"
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{where}: isn't UTF-8 text") from error
    if wanted is None:  # no such key, which is what is said, whatever its value
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
                f"{COMMAND_LINE}: {key!r}: {parent!r} is {brief(below)}, holds no keys"
            )
        values = below
    values[last] = value


def _refuse_unknown(
    values: dict[str, Any], model: type[BaseModel], where: str, words: Mapping[str, str]
) -> None:
    known = [key.name for key in _describe(model, {}, "")]
    for key, value in _unknown(values, model, ""):
        place = COMMAND_LINE if _given(key, words) else where
        raise ConfigError(
            f"{place}: unknown key {brief(key)} = {brief(value)}.{did_you_mean(key, known)} "
            "`train --help` lists all keys."
        )


def _given(key: str, words: Mapping[str, str]) -> bool:
    """Whether the command line set key, something in it, or what it is in."""
    return any(f"{w}.".startswith(f"{key}.") or f"{key}.".startswith(f"{w}.") for w in words)


def _unknown(
    values: dict[str, Any], model: type[BaseModel], prefix: str
) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in model.model_fields:
            yield name, value
        elif isinstance(value, dict) and (section := _section(model.model_fields[key])):
            yield from _unknown(value, section, f"{name}.")


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that holds keys of its own."""
    for annotation in (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


def _validate(
    model: type[TrainConfig], values: dict[str, Any], where: str, words: Mapping[str, str]
) -> TrainConfig:
    # As JSON and strict: "1" is no number and true no integer, yet a list can become a tuple.
    try:
        text = json.dumps(values)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"{where}: is no plain data ({error})") from error
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        # Known only now: the key wants a whole number that was written as 1e4.
        key = ".".join(str(part) for part in problem["loc"])
        value = problem["input"]
        if problem["type"] in ("int_type", "int_from_float") and (
            isinstance(value, float) and value.is_integer()
        ):
            _set(values, key, int(value))
            return _validate(model, values, where, words)
        place = COMMAND_LINE if _given(key, words) else where
        if problem["type"] == "missing":
            doc = next((k.doc for k in _describe(model, {}, "") if k.name == key), "")
            raise ConfigError(f"{place}: key {key!r} is missing. {doc}".rstrip()) from error
        message = problem["msg"].replace("Input should", "should", 1)
        subject = f"{key!r} = {brief(value)}" if key else "the config"
        raise ConfigError(f"{place}: {subject}: {message}") from error


def _describe(model: type[BaseModel], values: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        value = values.get(name, field.default if not field.is_required() else None)
        if section := _section(field):
            below = value if isinstance(value, Mapping) else {}
            yield from _describe(section, below, f"{prefix}{name}.")
        else:
            yield Key(
                name=f"{prefix}{name}",
                type=_type_name(field),
                value="" if value is None else json.dumps(value, default=str).strip('"'),
                doc=" ".join((field.description or "").split()),
                common=not prefix and name in TrainConfig.model_fields,
            )


def _type_name(field: FieldInfo) -> str:
    bounds = [
        f"{sign} {limit}"
        for part in field.metadata
        for kind, attribute, sign in (
            (annotated_types.Gt, "gt", ">"),
            (annotated_types.Ge, "ge", ">="),
            (annotated_types.Lt, "lt", "<"),
            (annotated_types.Le, "le", "<="),
        )
        if isinstance(part, kind) and (limit := getattr(part, attribute)) is not None
    ]
    return " ".join([_annotation_name(field.annotation), *bounds])


def _annotation_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "|".join(str(argument) for argument in arguments)
    if origin in (Union, types.UnionType):
        return "|".join(_annotation_name(argument) for argument in arguments)
    if origin is not None:
        return str(annotation).replace("typing.", "")
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _shown(file: Path, experiment: Experiment) -> str:
    try:
        return str(file.resolve().relative_to(experiment.member.workspace.resolve()))
    except ValueError:
        return str(file)
