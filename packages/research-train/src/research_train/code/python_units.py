"""Split a Python file into what its import runs and what it defines, for the fingerprint.

A unit is a statement at the top level of a module: a function, a class, a constant. It is described
by a hash of its syntax tree, without comments, docstrings, formatting and annotations, and by the
names it uses. From these, reached_code.py finds which units a training reaches.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from research_train.code.import_effects import hooks_subclasses, runs_code
from research_train.code.stripped_syntax import (
    is_text,
    last_name,
    stripped,
    syntax_hash,
)

# These look up names or find modules in a way that can't be followed by reading the code.
UNREADABLE = frozenset(
    [
        *("exec", "eval", "__import__", "sys.modules", "sys.path", "sys.meta_path"),
        *("sys.path_hooks", "builtins.exec", "builtins.eval", "builtins.__import__"),
    ]
)
OF_OTHER_MODULES = frozenset({"__globals__", "f_globals"})
FINDS_SUBCLASSES = frozenset({"__init_subclass__", "__subclasses__"})
# Code that uses one of these may read a file without naming it.
LISTS_FILES = frozenset({"glob", "rglob", "iterdir", "listdir", "scandir", "walk"})


@dataclass
class Unit:
    """A statement at the top level of a module.

    hash: hash of its syntax tree. binds: the names it defines. uses: the names it reads, with their
    attributes behind dots. imports: bindings made inside it. runs: importing the module does more
    with it than define a name. literal: all its calls of import_module name a module by a string.
    unreadable: it looks names or modules up in a way that can't be followed. looks_around: it looks
    at all names of its own module. subclasses: it finds classes by their base. hooks: a class that
    runs code for every subclass.
    """

    hash: str
    binds: list[str]
    uses: list[str]
    imports: list["Binding"] = field(default_factory=list)
    runs: bool = False
    is_class: bool = False
    literal: bool = False
    unreadable: bool = False
    looks_around: bool = False
    subclasses: bool = False
    hooks: bool = False


@dataclass
class Binding:
    """A name that an import binds to a module, or to an attribute or submodule of it.

    level: number of dots of a relative import. attribute: None for `import module`, `*` for all.
    """

    name: str
    module: str
    level: int
    attribute: str | None


@dataclass
class PythonFile:
    """What a file defines, imports and runs when it is imported.

    lazy: names that `lazy_loader` imports on first use, if they are listed in the file; stub: they
    are listed in the stub beside it. strings: its short strings, which may name files. unmentioned:
    imported names that are never used, so that the import itself may matter. lists_files: it may
    list folders. understood: False if it can't be parsed; then all its bytes count.
    """

    units: list[Unit] = field(default_factory=list)
    imports: list[Binding] = field(default_factory=list)
    stub: bool = False
    lazy: list[Binding] = field(default_factory=list)
    strings: list[str] = field(default_factory=list)
    unmentioned: list[str] = field(default_factory=list)
    lists_files: bool = False
    understood: bool = True

    def as_json(self) -> dict[str, Any]:
        """The content as plain values, for a cache."""
        return asdict(self)


def from_json(value: dict[str, Any]) -> PythonFile:
    """The PythonFile that `as_json` turned into plain values."""

    def bindings(of: dict[str, Any], key: str) -> list[Binding]:
        return [Binding(**each) for each in of[key]]

    units = [Unit(**{**unit, "imports": bindings(unit, "imports")}) for unit in value["units"]]
    lists = {"imports": bindings(value, "imports"), "lazy": bindings(value, "lazy")}
    return PythonFile(**{**value, "units": units, **lists})


def read_python(source: bytes) -> PythonFile:
    """The content of a Python file or stub."""
    try:
        tree = ast.parse(source)
        found = PythonFile()
        mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        kept = b"__doc__" in source  # the code reads docstrings, so they can change what it does
        for statement in _at_import(tree.body):
            _take(statement, found, keep_docstrings=kept)
        found.lists_files = any(
            isinstance(node, ast.Name | ast.Attribute) and last_name(node) in LISTS_FILES
            for node in ast.walk(tree)
        )
        found.unmentioned = sorted({b.name for b in found.imports} - mentioned - {"*"})
        found.strings = sorted(
            {
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and len(node.value) < 200
                and "\n" not in node.value
            }
        )
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return PythonFile(understood=False)
    return found


def _at_import(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, so not those for type checkers."""
    for statement in body:
        if isinstance(statement, ast.If):
            if last_name(statement.test) == "TYPE_CHECKING":
                yield from _at_import(statement.orelse)
                continue
            if ast.unparse(statement.test).replace('"', "'") == "__name__ == '__main__'":
                yield from _at_import(statement.orelse)
                continue
        if not is_text(statement):
            yield statement


def _take(statement: ast.stmt, found: PythonFile, keep_docstrings: bool) -> None:
    """Add what a statement defines, imports and runs to found."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        found.imports += _bindings(statement)
        return
    if lazy := _lazy_call(statement):
        found.stub |= lazy == "attach_stub"
        if lazy == "attach":
            found.lazy += _attached(statement)
        return
    inner = [b for node in ast.walk(statement) for b in _bindings(node)]
    binds = list(dict.fromkeys(_bound(statement)))
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        # An import inside a try or an if binds its names for the whole module.
        found.imports += inner
    tree = stripped(statement, keep_docstrings)
    uses = _uses(tree)
    named = _imported_by_text(statement)
    attributes = {use.rpartition(".")[2] for use in uses}
    if isinstance(statement, ast.ClassDef):
        attributes |= {each.name for each in statement.body if isinstance(each, ast.FunctionDef)}
    found.units.append(
        Unit(
            hash=syntax_hash(tree),
            binds=binds,
            uses=sorted(uses),
            imports=inner + (named or []),
            runs=runs_code(statement),
            is_class=isinstance(statement, ast.ClassDef),
            literal=named is not None,
            unreadable=any(
                use == each or use.startswith(f"{each}.")
                for use in uses
                for each in (UNREADABLE - {"__import__"} if named else UNREADABLE)
            )
            or not OF_OTHER_MODULES.isdisjoint(attributes),
            looks_around=_looks_around(statement),
            subclasses=bool(attributes & FINDS_SUBCLASSES),
            hooks=hooks_subclasses(statement),
        )
    )


def _bindings(node: ast.AST) -> list[Binding]:
    if isinstance(node, ast.Import):
        return [
            Binding(alias.asname, alias.name, 0, None)
            if alias.asname
            # `import a.b` binds a, and imports a.b.
            else Binding(alias.name.split(".")[0], alias.name, 0, None)
            for alias in node.names
        ]
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        return [
            Binding(alias.asname or alias.name, node.module or "", node.level, alias.name)
            for alias in node.names
        ]
    return []


def _imported_by_text(statement: ast.stmt) -> list[Binding] | None:
    """Bindings for the modules that import_module is called with; None if a name is computed."""
    found = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__"):
            match node.args:
                case [ast.Constant(value=str(module))] if not module.startswith("."):
                    found.append(Binding("*", module, 0, "*"))  # any of its names may be used
                case _:
                    return None
    return found or None


def _looks_around(statement: ast.stmt) -> bool:
    """Whether a statement looks at all names of its module."""
    everywhere = {"globals"}
    if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        everywhere.add("locals")
    return any(
        (isinstance(node, ast.Name) and node.id in everywhere)
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("vars", "dir")
            and not node.args
        )
        for node in ast.walk(statement)
    )


def _lazy_call(statement: ast.stmt) -> str | None:
    """`attach_stub` or `attach` if the statement calls that function of lazy_loader, else None."""
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call):
        targets = ast.unparse(statement.targets[0])
        name = last_name(statement.value.func)
        if "__getattr__" in targets and name in ("attach_stub", "attach"):
            return name
    return None


def _attached(statement: ast.stmt) -> list[Binding]:
    """The names of `lazy_loader.attach(__name__, [submodules], {submodule: [names]})`."""
    assert isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Call)
    call = statement.value
    given = dict(zip(("submodules", "submod_attrs"), call.args[1:], strict=False))
    given |= {word.arg: word.value for word in call.keywords if word.arg}
    modules, attributes = (
        ast.literal_eval(given[key]) if key in given else ()
        for key in ("submodules", "submod_attrs")
    )
    found = [Binding(name, "", 1, name) for name in modules or ()]
    for module, names in dict(attributes or {}).items():
        found += [Binding(name, module, 1, name) for name in names]
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that a statement binds in its module."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif node.__class__.__name__ == "TypeAlias":  # Python 3.12
            yield node.name.id  # type: ignore[attr-defined]


def _uses(tree: ast.AST) -> set[str]:
    """Every name that a statement reads, with its attributes: `np`, `torch.nn.Linear`."""
    found: set[str] = set()

    def look(node: ast.AST) -> None:
        parts: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            if parts or not isinstance(inner.ctx, ast.Store):
                found.add(".".join([inner.id, *reversed(parts)]))
            return
        found.update(f".{part}" for part in parts if part in FINDS_SUBCLASSES)
        for child in ast.iter_child_nodes(inner):
            look(child)

    look(tree)
    return found
