"""The tables of public names in the packages' READMEs: a row a name, from its code.

`module_tables.py` writes them. Nothing is imported: a table takes a second, and no torch.
"""

import ast
import re
from functools import cache
from pathlib import Path

from research_cli.package.public_names import public_names

BEGIN, END = "<!-- names: written by module_tables.py -->", "<!-- /names -->"
SHORT = 60  # characters up to which a signature is shown in full


def name_table(package: Path) -> str:
    """The Markdown table of a package's public names, by module; empty where it has none."""
    rows = [
        f"| `{_call(each.name, each.module)}` | {_summary(each.name, each.module)} |"
        for each in public_names(package)
    ]
    return "\n".join(["| name | what it is |", "|---|---|", *rows]) if rows else ""


def _definition(name: str, module: Path) -> tuple[ast.AST, str | None]:
    """A name's node, and its docstring or the comment beside it. Raises ValueError for no such."""
    tree = _parsed(module)
    for node in reversed(tree.body):  # a function comes after its overloads
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return node, ast.get_docstring(node)
        if isinstance(node, ast.ImportFrom) and name in [each.name for each in node.names]:
            [source] = [each for each in module.parents if each.name == "src"]
            return _definition(name, source / f"{str(node.module).replace('.', '/')}.py")
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            line = module.read_text(encoding="utf-8").splitlines()[node.lineno - 1]
            return node, line.partition("  # ")[2]
    if module.stem == name:  # the module itself is public
        return tree, ast.get_docstring(tree)
    raise ValueError(f"{module} doesn't define {name}")


@cache
def _parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


def _summary(name: str, module: Path) -> str:
    """The first sentence of its docstring. Raises ValueError when it has none."""
    _, docstring = _definition(name, module)
    if not docstring:
        raise ValueError(f"{module}: {name} has no docstring")
    first = " ".join(docstring.strip().split("\n\n")[0].split())
    return re.sub(r"([|*])", r"\\\1", re.split(r"\. (?=[A-Z`])", first)[0].removesuffix("."))


def _call(name: str, module: Path) -> str:
    """How it is called, where that is short; else its name."""
    node, _ = _definition(name, module)
    if isinstance(node, ast.ClassDef):
        made = [each for each in node.body if getattr(each, "name", "") == "__init__"]
        node = made[0] if made else node
    if isinstance(node, ast.Assign):
        return ast.unparse(node).replace("|", "\\|")
    if not isinstance(node, ast.FunctionDef):
        return name
    text = ast.unparse(_without_annotations(node.args)).removeprefix("self").removeprefix(", ")
    call = f"{name}({text})".replace("|", "\\|")
    return call if len(call) <= SHORT else name


def _without_annotations(given: ast.arguments) -> ast.arguments:
    def plain(each: ast.arg) -> ast.arg:
        return ast.arg(each.arg)

    return ast.arguments(
        posonlyargs=[plain(each) for each in given.posonlyargs],
        args=[plain(each) for each in given.args],
        vararg=plain(given.vararg) if given.vararg else None,
        kwonlyargs=[plain(each) for each in given.kwonlyargs],
        kw_defaults=given.kw_defaults,
        kwarg=plain(given.kwarg) if given.kwarg else None,
        defaults=given.defaults,
    )
