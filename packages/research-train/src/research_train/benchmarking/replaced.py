"""Replace a method in a with-block, to measure a loop whose own code says nothing of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Method = Callable[..., Any]


@contextmanager
def replaced(owner: type, name: str, wrap: Callable[[Method], Method]) -> Iterator[None]:
    """In this block, the method `name` of a class is replaced by `wrap` of it."""
    before = getattr(owner, name)
    setattr(owner, name, wrap(before))
    try:
        yield
    finally:
        setattr(owner, name, before)
