"""Strip a syntax tree of what changes no number, to compare code by what it does."""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress

# Decorators that run no other code, and don't read the annotations of what they decorate.
PURE_DECORATORS = frozenset(
    [
        *("abstractmethod", "cache", "cached_property", "classmethod", "contextmanager"),
        *("dataclass", "field_validator", "final", "inference_mode", "lru_cache"),
        *("model_validator", "no_grad", "overload", "override", "property", "runtime_checkable"),
        *("staticmethod", "total_ordering", "wraps"),
    ]
)


def stripped(statement: ast.stmt, keep_docstrings: bool) -> ast.AST:
    """The statement, changed in place: without docstrings, and annotations other than of fields."""
    found: ast.AST = _Stripped(keep_docstrings).visit(statement)
    return found


def syntax_hash(tree: ast.AST) -> str:
    """sha256 of a syntax tree, the same under every version of Python and every formatting."""
    return hashlib.sha256("".join(_text(tree)).encode("utf-8", "replace")).hexdigest()


class _Stripped(ast.NodeTransformer):
    """Removes docstrings and annotations, except those that define the fields of a class."""

    def __init__(self, keep_docstrings: bool) -> None:
        self.keep_docstrings = keep_docstrings
        self.in_class = False

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for name, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                if not self.keep_docstrings:
                    value = [each for each in value if not is_text(each)]
                setattr(node, name, value)
        return super().generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        outer, self.in_class = self.in_class, False
        # An unknown decorator may read the annotations, so they are kept.
        if all(name_of_call(each) in PURE_DECORATORS for each in node.decorator_list):
            node.returns = None
            arguments = node.args
            for each in [
                *arguments.posonlyargs,
                *arguments.args,
                *arguments.kwonlyargs,
                *filter(None, (arguments.vararg, arguments.kwarg)),
            ]:
                each.annotation = None
        self.generic_visit(node)
        self.in_class = outer
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = _function  # noqa: N815 - ast's names

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self.in_class = self.in_class, True
        self.generic_visit(node)
        self.in_class = outer
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self.in_class:  # a field of a dataclass or a Config: its type changes what happens
            if isinstance(node.annotation, ast.Constant) and isinstance(node.annotation.value, str):
                with suppress(SyntaxError):
                    node.annotation = ast.parse(node.annotation.value, mode="eval").body
            return self.generic_visit(node)
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign(targets=[node.target], value=node.value))


def _text(node: object) -> Iterator[str]:
    """A syntax tree as text that is the same under every version of Python."""
    if isinstance(node, ast.AST):
        yield node.__class__.__name__ + "("
        for name, value in ast.iter_fields(node):
            # Except `value`, where None is a constant and not an absent part.
            empty = (value is None or value == []) and name != "value"
            if empty or name in ("ctx", "kind", "type_comment"):
                continue
            yield name + "="
            yield from _text(value)
        yield ")"
    elif isinstance(node, list):
        yield "["
        for each in node:
            yield from _text(each)
            yield ","
        yield "]"
    else:
        yield hex(node) if type(node) is int else repr(node)


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement is only a string, as a docstring is."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def last_name(node: ast.expr) -> str | None:
    """The last part of a dotted name; None for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def name_of_call(node: ast.expr) -> str | None:
    """The name of a decorator, called or not; `property` for `@x.setter` and its like."""
    node = node.func if isinstance(node, ast.Call) else node
    name = last_name(node)
    return "property" if name in ("setter", "deleter", "getter") else name
