"""The generated datasets of a member: fixed ones, and those that are made of config keys.

[tool.research.generated]
mnist1d = "paper_mnist1d.data:MNIST1D"          # a GeneratedDataset: MODULE:ATTRIBUTE
sums = "paper_grokking.data:sums"               # a function that returns one

def sums(modulus: int, train_share: float) -> GeneratedDataset: ...

The function's parameters are keys of the config, by name; a parameter with a default may be absent
from the config of an experiment. Its dataset has a revision for each of their values, as they are
arguments of it, and is made once for each.
"""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

from research_data import GeneratedDataset
from research_data.shown import brief, did_you_mean

from research_train.errors import ConfigError, MemberError
from research_train.experiment.config import TrainConfig
from research_train.experiment.members import Member


def generated_dataset(
    member: Member, name: str, config: TrainConfig | None = None
) -> GeneratedDataset | None:
    """The dataset of this name; None for one that is made of config keys, where config is None.

    Raises MemberError if the pyproject names none, or its function has a parameter that is no key
    of the config; ConfigError for values that the function refuses with a ValueError.
    """
    made = _attribute(member, name)
    dataset: object = made
    if inspect.isfunction(made):
        if config is None:
            return None
        dataset = _called(made, config, _where(member, name))
    if not isinstance(dataset, GeneratedDataset) or dataset.name != name:
        form = "must return" if inspect.isfunction(made) else "must be"
        named = getattr(dataset, "name", None)
        seen = f"one named {named!r}" if named is not None else f"a {type(dataset).__name__}"
        raise MemberError(
            f"{_where(member, name)} {form} a GeneratedDataset named {name!r}, got {seen}"
        )
    return dataset


def keys_taken(member: Member, name: str) -> list[str]:
    """The config keys that a generated dataset is made of; none of a fixed one."""
    made = _attribute(member, name)
    return list(inspect.signature(made).parameters) if inspect.isfunction(made) else []


def _called(function: Callable[..., object], config: TrainConfig, where: str) -> object:
    """What a function of config keys returns for a config."""
    keys = type(config).model_fields
    values: dict[str, Any] = {}
    for key, parameter in inspect.signature(function).parameters.items():
        if key in keys:
            values[key] = getattr(config, key)
        elif parameter.default is parameter.empty:
            raise MemberError(
                f"{where}: its parameter {key!r} is no key of the config.{did_you_mean(key, keys)} "
                "Name one of its keys, or give the parameter a default."
            )
    try:
        return function(**values)
    except ValueError as error:
        shown = ", ".join(f"{key} = {brief(value)}" for key, value in values.items())
        raise ConfigError(f"{where} refuses {shown}: {error}") from error


def _attribute(member: Member, name: str) -> Any:
    module, _, attribute = member.pyproject.generated[name].partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise MemberError(f"{_where(member, name)}: {error}") from error


def _where(member: Member, name: str) -> str:
    pyproject = member.pyproject
    return f"{pyproject.file}: {name} = {pyproject.generated[name]!r}"
