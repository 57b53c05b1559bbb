"""The house: which way imports go, between packages, folders and modules; and that READMEs say it.

The orders below are the napkin: a package, folder or file imports only what stands before it.
"""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
from module_tables import with_tables

ROOT = Path(__file__).parents[3]
IMPORTS = {
    "research_data": set(),
    "research_models": set(),
    "research_viz": set(),
    "research_train": {"research_data", "research_viz"},
    "research_cli": {"research_data", "research_models", "research_train", "research_viz"},
}
ORDERS = {
    "research_data": [
        *("_version", "nearest_name", "errors", "shown"),
        *("lock", "durable", "plain_files", "progress", "assets_dir"),
        *("assets", "elsewhere", "hub", "reading", "generated", "batches"),
    ],
    "research_train": [
        *("_version", "nearest_name", "errors"),
        *("experiment", "command_line", "processes", "versions", "code", "state", "record"),
        *("claims", "loop", "history", "places"),
        *("training", "evaluating", "benchmarking"),
        *("evidence", "results"),
        "sweeps",
        *("launch", "fingerprints", "pytest_pins", "reproduce_command", "settled"),
    ],
    "research_cli": [
        *("printing", "children", "completion", "guesses"),
        *("assets", "run", "package", "paper", "report", "environment", "bench", "sweep"),
        "app",
    ],
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the packages by its full name."""
    found = {}
    for package in IMPORTS:
        source = ROOT / "packages" / package.replace("_", "-") / "src"
        for file in (source / package).rglob("*.py"):
            name = ".".join(file.relative_to(source).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file
    return found


@cache
def imported_by(module: str) -> frozenset[str]:
    """What a module imports of our packages, wherever in the file it does so."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in modules() else node.module)
    return frozenset(name for name in found if name.split(".")[0] in IMPORTS and name != module)


def named_in_stub(package: str) -> set[str]:
    """The modules that a package's `__init__.pyi` names: in its imports, or in its docstring."""
    stub = modules()[package].with_suffix(".pyi")
    if not stub.is_file():
        return set()
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    names = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    names += re.findall(r"`([a-z_.]+)`", ast.get_docstring(tree) or "")
    return {f"{package}.{name}" for name in names}


@pytest.mark.parametrize("package", IMPORTS)
def test_a_package_imports_only_the_packages_below_it(package):
    for module in modules():
        if module.split(".")[0] == package:
            others = {name.split(".")[0] for name in imported_by(module)} - {package}
            assert others <= IMPORTS[package], module


@pytest.mark.parametrize("package", ORDERS)
def test_a_folder_imports_only_from_folders_below_it(package):
    order = ORDERS[package]
    for module in modules():
        names = module.split(".")
        if names[0] != package or len(names) == 1:
            continue
        assert names[1] in order, f"{names[1]} has no place in the order"
        for name in imported_by(module):
            other = name.split(".")
            if other[0] == package and len(other) > 1:
                assert order.index(other[1]) <= order.index(names[1]), f"{module} imports {name}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: imported_by(module) & modules().keys() for module in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_package_uses_of_another_what_its_stub_names():
    inner = set()
    for module in modules():
        package = module.split(".")[0]
        for name in imported_by(module):
            other = name.split(".")[0]
            if other not in (package, name) and name not in named_in_stub(other):
                inner.add(f"{module} imports {name}")
    assert not inner


@pytest.mark.parametrize("package", IMPORTS)
def test_a_readme_lists_every_module_and_public_name(package):
    folder = ROOT / "packages" / package.replace("_", "-")
    readme = (folder / "README.md").read_text(encoding="utf-8")
    # else: uv run python packages/research-cli/tests/support/module_tables.py
    assert with_tables(readme, folder) == readme


def test_the_top_level_holds_what_the_readme_explains():
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    files = {"pyproject.toml", "uv.lock", "README.md"}
    assert visible - {"shared"} == files | {"packages", "papers", "projects", "assets"}


def test_every_package_names_the_nearest_in_one_way():
    copies = [file for name, file in modules().items() if name.endswith(".nearest_name")]
    assert len(copies) == 4 and len({file.read_bytes() for file in copies}) == 1
    for package, wrong, right in (
        ("research_data", "pull_datset", "pull_dataset"),
        ("research_models", "Transfromer", "Transformer"),
        ("research_train", "Trianer", "Trainer"),
        ("research_viz", "claim_plt", "claim_plot"),
    ):
        with pytest.raises(ImportError, match=f"{package} has no '{wrong}'.*'{right}'"):
            exec(f"from {package} import {wrong}", {})
        with pytest.raises(AttributeError, match=f"{package} has no '{wrong}'.*'{right}'"):
            getattr(import_module(package), wrong)


@pytest.mark.parametrize("package", ORDERS)
def test_no_folder_takes_the_place_of_a_public_name(package):
    stub = modules()[package].with_suffix(".pyi")
    if not stub.is_file():
        return
    nodes = ast.walk(ast.parse(stub.read_text(encoding="utf-8")))
    public = {a.asname for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names}
    assert not public & set(ORDERS[package])
