"""Find the code that a generating function depends on: helpers, constants, modules."""

import ast
import hashlib
import importlib
import importlib.util
import inspect
import json
import textwrap
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np


def reached_sources(generate: Callable[..., Any]) -> dict[str, str]:
    """All that a function uses of its own package, directly or not: `module:name` -> source.

    Functions and classes count by their source, and lead to what they use in turn; constants count
    by their value; a module of the package that is used as a whole, or imported inside a function,
    counts by its file. Other packages are not searched: the caller adds their version to the key.
    """
    package = generate.__module__.partition(".")[0]
    found: dict[str, str] = {}
    waiting: list[Any] = [generate]
    while waiting:
        thing = waiting.pop()
        for name, value in _named(thing, package):
            if name in found or value is generate:
                continue
            text = _text(value, package)
            if text is not None:
                found[name] = text
                waiting.append(value)
    return dict(sorted(found.items()))


def _named(thing: Any, package: str) -> Iterator[tuple[str, Any]]:
    """The values that a function or class names: globals of its module, and its own imports."""
    functions = [thing] if isinstance(thing, FunctionType) else []
    if inspect.isclass(thing):
        functions = [each for each in vars(thing).values() if isinstance(each, FunctionType)]
        for base in thing.__mro__[1:]:
            yield f"{base.__module__}:{base.__qualname__}", base
    for function in functions:
        for name in _names(function.__code__):
            if name in function.__globals__:
                value = function.__globals__[name]
                module = getattr(value, "__module__", None) or function.__module__
                yield f"{module}:{getattr(value, '__qualname__', name)}", value
        for module in _imported(function):
            if module.partition(".")[0] == package:
                yield module, importlib.import_module(module)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:  # functions and comprehensions inside it
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _imported(function: FunctionType) -> Iterator[str]:
    """The modules that a function imports in its body."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    around = function.__globals__.get("__package__") or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            module = importlib.util.resolve_name(name, around) if node.level else name
            yield module
            for alias in node.names:  # the name may be a submodule
                below = f"{module}.{alias.name}"
                if below.partition(".")[0] == around.partition(".")[0] and _is_module(below):
                    yield below


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _text(value: Any, package: str) -> str | None:
    """The source or value of something; None if it is of another package or has no such text."""
    if isinstance(value, ModuleType):
        own = value.__name__.partition(".")[0] == package
        return inspect.getsource(value) if own and value.__name__ != package else None
    if isinstance(value, FunctionType) or inspect.isclass(value):
        own = value.__module__.partition(".")[0] == package
        return inspect.getsource(value) if own else None
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return None
