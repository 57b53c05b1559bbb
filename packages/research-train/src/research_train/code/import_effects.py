"""Find which statements of a module do more at import than bind names to values."""

import ast
from collections.abc import Sequence

from research_train.code.stripped_syntax import (
    PURE_DECORATORS,
    is_text,
    last_name,
    name_of_call,
)

# Calls that do nothing but make their value, which counts where it is used (what a
# GeneratedDataset makes has a revision).
PURE_CALLS = frozenset(
    [
        *("abs", "auto", "bool", "bytes", "cast", "compile", "ConfigDict", "ContextVar", "Decimal"),
        *("device", "dict", "enumerate", "exp", "Field", "field", "float", "Fraction"),
        *("frozenset", "GeneratedDataset", "getLogger", "int", "Interval", "len", "list"),
        *("Lock", "log", "MappingProxyType", "max", "min", "namedtuple", "NewType", "ParamSpec"),
        *("partial", "Path", "range", "round", "set", "sorted", "sqrt", "str", "sum"),
        *("timedelta", "tuple", "TypeVar", "TypeVarTuple", "WeakSet", "zip"),
    ]
)
# Modules of which a function of that name is meant: `context.set(1)` does more than `set()`.
OF_MODULES = frozenset(
    [
        *("builtins", "cmath", "collections", "dataclasses", "datetime", "enum", "functools"),
        *("logging", "math", "np", "numpy", "operator", "re", "torch"),
    ]
)
# What a class may be made with, and no more is done.
PURE_KEYWORDS = frozenset({"metaclass=ABCMeta", "total=False", "total=True"})


def runs_code(statement: ast.stmt) -> bool:
    """Whether importing the module does more with a statement than bind names to values."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        if not all(name_of_call(each) in PURE_DECORATORS for each in statement.decorator_list):
            return True
        if isinstance(statement, ast.ClassDef):
            keywords = {
                f"{each.arg}={ast.unparse(each.value).rpartition('.')[2]}"
                for each in statement.keywords
            }
            return (
                not keywords <= PURE_KEYWORDS
                or _calls_more(statement.bases)
                or any(not is_text(each) and runs_code(each) for each in statement.body)
            )
        defaults = [*statement.args.defaults, *filter(None, statement.args.kw_defaults)]
        return _calls_more(defaults)
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        simple = all(
            isinstance(each, ast.Name | ast.Tuple | ast.List | ast.Starred | ast.Load | ast.Store)
            for target in targets
            for each in ast.walk(target)
        )
        return not simple or _calls_more([statement.value] if statement.value else [])
    return not (isinstance(statement, ast.Pass) or statement.__class__.__name__ == "TypeAlias")


def _calls_more(values: Sequence[ast.expr]) -> bool:
    """Whether a call among these values may do more than make its own."""
    calls = [node for value in values for node in ast.walk(value) if isinstance(node, ast.Call)]
    return not all(_is_pure(call.func) for call in calls)


def _is_pure(function: ast.expr) -> bool:
    name = last_name(function)
    if name not in PURE_CALLS or not isinstance(function, ast.Attribute):
        return name in PURE_CALLS
    return name[0].isupper() or last_name(function.value) in OF_MODULES


def hooks_subclasses(statement: ast.stmt) -> bool:
    """Whether Python tells it, or its metaclass, of every class that is made below it."""
    if not isinstance(statement, ast.ClassDef):
        return False
    made_by = [last_name(each.value) for each in statement.keywords if each.arg == "metaclass"]
    methods = [each.name for each in statement.body if isinstance(each, ast.FunctionDef)]
    return any(each != "ABCMeta" for each in made_by) or "__init_subclass__" in methods
