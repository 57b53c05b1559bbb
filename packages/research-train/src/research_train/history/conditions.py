"""Conditions on the config and final metrics of a run, as typed: `lr>1e-3`."""

import json
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from research_data.errors import UsageError
from research_data.shown import did_you_mean

_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(<=|>=|!=|==|=|<|>)\s*(.*?)\s*")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A key, a sign and the wanted value; text: that value as it was typed."""

    key: str
    sign: str
    wanted: object
    text: str

    def holds(self, value: object) -> bool:
        """Whether the value of a run meets the condition; value: None if the run has none."""
        if isinstance(value, float) and math.isnan(value):
            value = None
        if value is None and self.wanted is not None:
            return False  # the run lacks the key, or its metric is NaN
        if self.sign in _ORDERS:
            return _is_number(value) and _ORDERS[self.sign](value, self.wanted)
        if isinstance(value, str):
            equal = value in (self.text, self.wanted)
        else:  # Python takes True for 1
            equal = value == self.wanted and isinstance(value, bool) == isinstance(
                self.wanted, bool
            )
        return equal is (self.sign != "!=")


def parse_condition(text: str) -> Condition:
    """Parse a condition. Raises UsageError."""
    match = _CONDITION.fullmatch(text)
    if not match or not match[3]:
        raise UsageError(
            f"{text!r} is not a condition. Write a key, one of < <= > >= = !=, and a value, "
            "like 'optimizer.lr<=0.1' or 'model=cnn'"
        )
    key, sign, wanted = match[1], match[2], _value(match[3])
    if sign in _ORDERS and not _is_number(wanted):
        raise UsageError(f"{text!r}: {sign} compares numbers, and {match[3]!r} is not one")
    return Condition(key, sign, wanted, match[3])


def resolve_key(name: str, known: set[str]) -> str:
    """The key called name, or the only key whose last part is name. Raises UsageError."""
    if name in known:
        return name
    ending = sorted(key for key in known if key.endswith((f".{name}", f"/{name}")))
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise UsageError(f"{name!r} could be any of {', '.join(ending)}")
    raise UsageError(
        f"none of these runs has a config key or final metric {name!r}."
        f"{did_you_mean(name, known) or ' They have: ' + ', '.join(sorted(known))}"
    )


def _value(text: str) -> object:
    """A number, true, false, null or a list, as in JSON; else the text itself."""
    try:
        number: object = json.loads(text)
    except (ValueError, RecursionError):
        try:
            number = float(text)
        except ValueError:
            return text
    # A metric that was NaN is recorded as null.
    return None if isinstance(number, float) and math.isnan(number) else number


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
