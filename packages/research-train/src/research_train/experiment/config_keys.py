"""The keys of an experiment's Config, each with its type, value and meaning."""

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from research_train.errors import ConfigError
from research_train.experiment.config import TrainConfig
from research_train.experiment.members import Experiment
from research_train.experiment.yaml_file import read_yaml


@dataclass(frozen=True)
class Key:
    """One config key as `train --help` shows it: its dotted name, type, value and meaning."""

    name: str
    type: str
    value: str
    doc: str
    common: bool


def config_class(experiment: Experiment) -> type[TrainConfig]:
    """The experiment's Config. Raises ConfigError when its config.py defines none."""
    module = experiment.load("config")
    model = getattr(module, "Config", None)
    if not (isinstance(model, type) and issubclass(model, TrainConfig)):
        raise ConfigError(f"{module.__file__} defines no class Config(TrainConfig)")
    return model


def describe_keys(experiment: Experiment) -> list[Key]:
    """Every key of an experiment's Config with the value it has unless overridden."""
    return list(keys_of(config_class(experiment), read_yaml(experiment.config_file)))


def keys_of(model: type[BaseModel], values: Mapping[str, Any], prefix: str = "") -> Iterator[Key]:
    """Every key of a model and its sections. values: key -> value, used instead of the default."""
    for name, field in model.model_fields.items():
        value = values.get(name, field.default if not field.is_required() else None)
        if section := section_of(field):
            below = value if isinstance(value, Mapping) else {}
            yield from keys_of(section, below, f"{prefix}{name}.")
        else:
            yield Key(
                name=f"{prefix}{name}",
                type=_type_name(field),
                value="" if value is None else json.dumps(value, default=str).strip('"'),
                doc=" ".join((field.description or "").split()),
                common=not prefix and name in TrainConfig.model_fields,
            )


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The model of a field that is a section with its own keys; None for other fields."""
    for annotation in (field.annotation, *get_args(field.annotation)):
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return annotation
    return None


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
