"""Read what a sweep varies from `key=values` words, or from a mapping.

| written | values |
|---|---|
| `model.width=64,128` | these two |
| `learning_rate=1e-4..1e-1` | any between; logarithmic where the ends are 100 times apart or more |
| `learning_rate=1e-4..1e-1:4` | 4 of them, evenly apart: 1e-4, 1e-3, 1e-2, 1e-1 |
| `dropout=0.1..0.5:linear`, `width=16..64:log` | the scale said |
| `steps=100` | one value: the same in all runs |
| `seed=0..4` | the seeds with which every setting is trained |
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from research_data.errors import UsageError
from research_data.shown import brief, did_you_mean

from research_train.errors import ConfigError
from research_train.experiment.config_keys import config_class, keys_of
from research_train.experiment.config_values import COMMAND_LINE, load_config
from research_train.experiment.members import Experiment
from research_train.sweeps.space import (
    MOST_SETTINGS,
    Choices,
    Dimension,
    Range,
    Space,
    words_of,
)

FAR = 100  # times apart: a range as wide as this is logarithmic unless said otherwise
MOST_SEEDS = 1000

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})((?::\w+)*)")

Value = str | int | float | bool | None
Plain = Value | Sequence["Plain"] | Mapping[str, "Plain"]  # what a YAML file or a notebook has


def read_space(
    experiment: Experiment,
    varied: Mapping[str, Plain],
    words: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
) -> Space:
    """The space of a mapping and of words such as `learning_rate=1e-4..1e-1`; words come last.

    varied: key -> a value, a list, or a text like a word's right side. seeds: by default those of
    the key `seed`, else the config's own. Raises UsageError for a word that can't be understood, an
    empty or endless range or a value twice, ConfigError for an unknown key or a wrong value.
    """
    texts: dict[str, str | list[str]] = {key: _texts(key, each) for key, each in varied.items()}
    given = [word.partition("=") for word in words]
    for key, sign, _ in given:
        if not sign or not key:
            raise UsageError(f"{COMMAND_LINE}: {brief(key)} is not of the form key=values")
    if twice := [key for key, _, _ in given if [k for k, _, _ in given].count(key) > 1]:
        raise UsageError(f"{COMMAND_LINE}: {twice[0]!r} is given twice; list its values in one")
    texts |= {key: text for key, _, text in given}
    _refuse_unknown(experiment, texts)
    chosen = _seeds(experiment, texts.pop("seed", None), seeds)
    split = {key: _split(key, text) for key, text in texts.items()}
    fixed = [f"{key}={each[0]}" for key, each in split.items() if _is_one(each)]
    dimensions: dict[str, Dimension] = {}
    for key, each in split.items():
        if not _is_one(each):
            dimensions[key] = _dimension(experiment, key, each, fixed)
    space = Space(dimensions, tuple(fixed), chosen)
    _try_values(experiment, space)
    return space


def _is_one(values: Sequence[str]) -> bool:
    return len(values) == 1 and not _RANGE.fullmatch(values[0])


def _texts(key: str, value: Plain) -> str | list[str]:
    """The values of a mapping as words."""
    if isinstance(value, str):
        return value
    if _is_list(value):
        return [_word(each) for each in value]
    if isinstance(value, Mapping):
        raise UsageError(f"{key}: write a value, a list or a text like '1e-4..1e-1'")
    return [_word(value)]


def _is_list(value: Plain) -> TypeGuard[Sequence[Plain]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _word(value: Plain) -> str:
    if isinstance(value, float):
        return repr(value)
    return value if isinstance(value, str) else json.dumps(value)


def _refuse_unknown(experiment: Experiment, keys: Mapping[str, object]) -> None:
    known = [key.name for key in keys_of(config_class(experiment), {})]
    for key in keys:
        # A section's key, a dict's, or an odd one is left to load_config.
        if key not in known and not any(key.startswith(f"{each}.") for each in known):
            raise ConfigError(
                f"{experiment.name} has no config key {brief(key)}.{did_you_mean(key, known)} "
                "`train --help` lists all keys."
            )


def _split(key: str, text: str | list[str]) -> list[str]:
    """The values listed: at the commas that are in no bracket and no quotes."""
    if isinstance(text, list):
        values = text
    else:
        values, depth, quote = [""], 0, ""
        for letter in text:
            if letter == "," and not depth and not quote:
                values.append("")
                continue
            if quote:
                quote = "" if letter == quote else quote
            elif letter in "\"'" and not values[-1].strip():
                quote = letter
            depth += (letter in "[{") - (letter in "]}")
            values[-1] += letter
    if not values or (len(values) > 1 and "" in values):
        raise UsageError(f"{key}={text if isinstance(text, str) else '[]'}: a value is empty")
    if twice := [each for each in values if values.count(each) > 1]:
        raise UsageError(f"{key}: the value {brief(twice[0])} is listed twice")
    if len(values) > 1 and (ranges := [each for each in values if _RANGE.fullmatch(each)]):
        raise UsageError(f"{key}: {ranges[0]!r}: a range stands alone, not in a list")
    return values


def _dimension(
    experiment: Experiment, key: str, values: Sequence[str], fixed: Sequence[str]
) -> Dimension:
    found = _RANGE.fullmatch(values[0])
    if found is None:
        return Choices(tuple(values))
    low, high = float(found[1]), float(found[2])
    if not low < high or math.isinf(high - low):
        raise UsageError(
            f"{key}={values[0]}: the range is empty: write the smaller number first, and a value "
            "alone without `..`"
        )
    scale, points = _options(key, values[0], found[3].split(":")[1:])
    logarithmic = low > 0 and high / low >= FAR if scale is None else scale == "log"
    if logarithmic and low <= 0:
        raise UsageError(f"{key}={values[0]}: a logarithmic range must begin above 0")
    whole = low.is_integer() and high.is_integer()
    between = f"{key}={low + 0.5 if whole else (low + high) / 2!r}"
    integer = whole and not _is_accepted(experiment, [*fixed, between])
    wanted = Range(low, high, logarithmic, integer)
    return wanted if points is None else _spaced(key, values[0], wanted, points)


def _options(key: str, text: str, options: Sequence[str]) -> tuple[str | None, int | None]:
    scale, points = None, None
    for option in options:
        if option in ("log", "linear") and scale is None:
            scale = option
        elif option.isdecimal() and int(option) >= 2 and points is None:
            points = int(option)
        else:
            raise UsageError(
                f"{key}={text}: {option!r} can't follow a range. What can is a number of values, "
                "2 or more, and `log` or `linear`: 1e-4..1e-1:4:log"
            )
    return scale, points


def _spaced(key: str, text: str, wanted: Range, points: int) -> Choices:
    """Evenly spaced values of a range."""
    if points > MOST_SETTINGS:
        raise UsageError(f"{key}={text}: at most {MOST_SETTINGS:,} values")
    shares = [number / (points - 1) for number in range(points)]
    if wanted.logarithmic:
        numbers = [wanted.low * (wanted.high / wanted.low) ** share for share in shares]
    else:
        numbers = [wanted.low + (wanted.high - wanted.low) * share for share in shares]
    # To twelve digits, so that 1e-3 isn't 0.0010000000000000002; the ends are exact.
    numbers = [wanted.low, *(float(f"{each:.12g}") for each in numbers[1:-1]), wanted.high]
    words = [wanted.word(round(each) if wanted.integer else each) for each in numbers]
    if len(set(words)) < len(words):
        raise UsageError(f"{key}={text}: the range has fewer than {points} whole numbers so spaced")
    return Choices(tuple(words))


def _seeds(
    experiment: Experiment, text: str | list[str] | None, seeds: Sequence[int] | None
) -> tuple[int, ...]:
    if text is None and seeds is None:
        return (load_config(experiment).seed,)
    if text is None:
        chosen = list(seeds or ())
    else:
        values = _split("seed", text)
        found = _RANGE.fullmatch(values[0])
        if found:
            low, high = float(found[1]), float(found[2])
            if found[3] or not (low.is_integer() and high.is_integer()) or low > high:
                raise UsageError(f"seed={values[0]}: write seed=0..4 or seed=0,1,2")
            if high - low >= MOST_SEEDS:
                raise UsageError(f"seed={values[0]}: at most {MOST_SEEDS:,} seeds")
            chosen = list(range(int(low), int(high) + 1))
        elif all(each.isdecimal() for each in values):
            chosen = list(map(int, values))
        else:
            raise UsageError(f"seed={','.join(values)}: write seed=0..4 or seed=0,1,2")
    if not chosen or len(set(chosen)) < len(chosen):
        raise UsageError("seeds: list one seed or several different ones")
    for seed in (chosen[0], chosen[-1]):
        load_config(experiment, [f"seed={seed}"])
    return tuple(chosen)


def _is_accepted(experiment: Experiment, words: Sequence[str]) -> bool:
    try:
        load_config(experiment, words)
    except ConfigError:
        return False
    return True


def _try_values(experiment: Experiment, space: Space) -> None:
    """Refuse a space with a value that no run could have. Raises ConfigError.

    Each value is tried beside the first ones of the other keys, and beside the last ones: a config
    may refuse a combination.
    """
    sides: list[dict[str, str]] = [{}, {}]
    tried: dict[str, tuple[str, ...]] = {}
    for key, each in space.dimensions.items():
        if isinstance(each, Choices):
            ends = each.words
        else:
            ends = (each.word(each.low), each.word(each.high))
        tried[key] = ends
        sides[0][key], sides[1][key] = ends[0], ends[-1]
    load_config(experiment, space.fixed)
    for key, ends in tried.items():
        for word in ends:
            first, last = ([*space.fixed, *words_of({**side, key: word})] for side in sides)
            if not _is_accepted(experiment, last):
                load_config(experiment, first)
