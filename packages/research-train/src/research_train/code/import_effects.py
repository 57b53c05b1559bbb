"""Find which statements of a module do more at import than bind names to values."""

import ast
from collections.abc import Sequence

from research_train.code.stripped_syntax import (
    PURE_DECORATORS,
    is_text,
    last_name,
    name_of_call,
)

# Calls that only return a value; the value counts where it is used. (The data that a
# GeneratedDataset makes counts by its revision.)
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
# Modules whose function of such a name is meant: `math.log(2)` is, `context.set(1)` is not.
OF_MODULES = frozenset(
    [
        *("builtins", "cmath", "collections", "dataclasses", "datetime", "enum", "functools"),
        *("logging", "math", "np", "numpy", "operator", "re", "torch"),
    ]
)
# Keywords of a class statement that run no further code.
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
    """Whether a call in these values may do more than return a value."""
    calls = [node for value in values for node in ast.walk(value) if isinstance(node, ast.Call)]
    return not all(_is_pure(call.func) for call in calls)


def _is_pure(function: ast.expr) -> bool:
    name = last_name(function)
    if name not in PURE_CALLS or not isinstance(function, ast.Attribute):
        return name in PURE_CALLS
    return name[0].isupper() or last_name(function.value) in OF_MODULES


def hooks_subclasses(statement: ast.stmt) -> bool:
    """Whether the class, or its metaclass, runs code for every subclass that is defined."""
    if not isinstance(statement, ast.ClassDef):
        return False
    made_by = [last_name(each.value) for each in statement.keywords if each.arg == "metaclass"]
    methods = [each.name for each in statement.body if isinstance(each, ast.FunctionDef)]
    return any(each != "ABCMeta" for each in made_by) or "__init_subclass__" in methods
