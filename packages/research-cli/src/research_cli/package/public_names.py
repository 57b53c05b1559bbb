"""The public names of a package, and those that lack a test or a row in the README.

A name is public when the package's `__init__.pyi` imports it. It counts as tested if a test names
it, or if code of ours uses it, whose own tests then run it. A class that came from a paper is used
by no package at first, so it needs a test of its own.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from research_data.plain_files import read_text
from research_train.versions.requirements import internal_packages

TABLES = "packages/research-cli/tests/support/module_tables.py"


@dataclass(frozen=True)
class PublicName:
    """A name that others may import from a package. module: the file that the stub names."""

    name: str
    module: Path


def public_names(package: Path) -> list[PublicName]:
    """The names in a package's `__init__.pyi`, in its order; none where it has no such file.

    package: its folder. Raises ResearchError for a stub that can't be read, SyntaxError for one
    that is no Python.
    """
    found = []
    for stub in sorted(package.glob("src/*/__init__.pyi")):
        for node in ast.parse(read_text(stub), str(stub)).body:
            if not isinstance(node, ast.ImportFrom) or node.module == "_version":
                continue  # __version__ needs no row
            for each in node.names:
                file = f"{(node.module or each.name).replace('.', '/')}.py"
                found.append(PublicName(each.asname or each.name, stub.parent / file))
    return found


def names_at_top(tree: ast.Module) -> set[str]:
    """The names that a module binds when it is imported: definitions, imports, assignments."""
    found: set[str] = set()
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {each.asname or each.name.split(".")[0] for each in node.names}
        elif isinstance(node, ast.AnnAssign) and node.value is None:
            continue  # only says a type
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def untold_names(workspace: Path) -> Iterator[str]:
    """A line for each public name of an internal package without a test or a row in the README.

    Raises ResearchError for a file that can't be read.
    """
    packages = internal_packages(workspace).values()
    code = {file: read_text(file) for each in packages for file in each.glob("src/**/*.py")}
    for package in packages:
        try:
            names = public_names(package)
        except SyntaxError as error:
            yield f"{error.filename}:{error.lineno}: is not valid Python: {error.msg}"
            continue
        readme = package / "README.md"
        rows = _words(read_text(readme)) if readme.is_file() else set()
        tested: set[str] = set()
        for file in package.glob("tests/**/*.py"):
            tested |= _words(read_text(file))
        for each in names:
            if each.name not in tested and not _is_used(each.name, code):
                yield (
                    f"{package / 'tests'}: no test names {each.name}, which __init__.pyi makes "
                    f"public, and no code of the packages uses it. Add a test of what it promises, "
                    f"in {package / 'tests' / f'test_{each.module.stem}.py'}"
                )
            if each.name not in rows:
                yield f"{readme}: has no row for {each.name}, which __init__.pyi makes public. " + (
                    f"`uv run python {TABLES}` writes it, from the docstring"
                    if (workspace / TABLES).is_file()
                    else "Add one that says what it is for"
                )


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def _is_used(name: str, code: dict[Path, str]) -> bool:
    """Whether code imports this name, or uses it outside its own definition."""
    for text in code.values():
        if name in text and name in _used_names(ast.parse(text), name):
            return True
    return False


def _used_names(tree: ast.Module, name: str) -> Iterator[str]:
    for top in tree.body:
        if isinstance(top, ast.ClassDef | ast.FunctionDef) and top.name == name:
            continue
        for node in ast.walk(top):
            if isinstance(node, ast.ImportFrom):
                yield from (each.name for each in node.names)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                yield node.id
