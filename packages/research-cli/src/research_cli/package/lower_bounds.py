"""Find lower bounds that admit a release without the names which the code imports from it.

A paper may pin any release that its packages admit, so a bound that promises too much is a pin that
ends in an ImportError.
"""

import ast
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from packaging.utils import canonicalize_name
from research_train.errors import RequirementError
from research_train.experiment.members import Member
from research_train.experiment.pyproject import read_pyproject
from research_train.versions.releases import Release, releases
from research_train.versions.requirements import internal_packages, required_by

from research_cli.package.public_names import names_at_top


@dataclass(frozen=True)
class Import:
    """What `file` imports: a module, and a name of it; None for the module itself."""

    module: str
    name: str | None
    file: Path


def false_lower_bounds(package: Member) -> Iterator[str]:
    """A line for each internal requirement of a package whose oldest release lacks a name.

    Raises RequirementError for a release that can't be read.
    """
    internal = internal_packages(package.workspace)
    for requirement in required_by(package):
        folder = internal.get(canonicalize_name(requirement.name))
        if folder is None:
            continue
        admitted = [
            release
            for release in releases(folder)
            if requirement.specifier.contains(release.version, prereleases=True)
        ]
        if not admitted:
            continue
        wanted = _imports(package.folder, folder.name.replace("-", "_"))
        if missing := _missing(wanted, admitted[-1]):
            fitting = [each.version for each in admitted if not _missing(wanted, each)]
            enough = min(fitting, default=read_pyproject(folder).version)
            name = ".".join(filter(None, (missing.module, missing.name)))
            yield (
                f"{package.folder / 'pyproject.toml'}: {requirement} admits {folder.name} "
                f"{admitted[-1].version}, but that has no {name}, which {missing.file} imports. "
                f"Require {folder.name}>={enough}"
            )


def _missing(wanted: Sequence[Import], release: Release) -> Import | None:
    """The first import that a release can't serve."""
    release.metadata()  # refuses a wheel that was changed
    with zipfile.ZipFile(release.wheel) as archive:
        files = set(archive.namelist())

        @cache
        def names(file: str) -> set[str]:
            try:
                return names_at_top(ast.parse(archive.read(file)))
            except (SyntaxError, ValueError) as error:
                raise RequirementError(f"{release.wheel}: {file}: {error}") from error

        def has(each: Import) -> bool:
            place = each.module.replace(".", "/")
            module = f"{place}/__init__.py" if f"{place}/__init__.py" in files else f"{place}.py"
            if module not in files:
                return False
            stub = f"{module}i"
            return (
                each.name in (None, "*")
                or not files.isdisjoint(
                    {f"{place}/{each.name}.py", f"{place}/{each.name}/__init__.py"}
                )
                or each.name in names(module)
                or (stub in files and each.name in names(stub))
            )

        return next((each for each in wanted if not has(each)), None)


def _imports(package: Path, top: str) -> list[Import]:
    """What a package's code imports from another, except for type checkers only."""
    found = []
    for file in sorted((package / "src").rglob("*.py")):
        try:
            tree = ast.parse(file.read_bytes())
        except SyntaxError:
            continue  # importing it will say so
        for node in _run_nodes(tree):
            if isinstance(node, ast.Import):
                named: list[tuple[str, str | None]] = [(each.name, None) for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                named = [(node.module, each.name) for each in node.names]
            else:
                continue
            found += [Import(*each, file) for each in named if each[0].split(".")[0] == top]
    return found


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
