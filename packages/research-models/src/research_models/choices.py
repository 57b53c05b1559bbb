"""Check arguments that must be one of a few names."""

from collections.abc import Iterable
from difflib import get_close_matches


def one_of(name: str, value: str, allowed: Iterable[str]) -> None:
    """Raise ValueError, with the nearest name, unless an argument's value is among those allowed.

    name: the argument's, for the message.
    """
    names = list(allowed)
    if value not in names:
        near = get_close_matches(str(value).lower(), names, n=1)
        hint = f": did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}{hint}")
