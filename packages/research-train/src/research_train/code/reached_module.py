"""A module that a training uses: its file, its content, and which parts are used."""

import hashlib
from collections.abc import Iterable
from copy import copy
from pathlib import Path

from research_train.code.parsed_files import ParsedFiles
from research_train.code.python_units import Binding, PythonFile


class ReachedModule:
    """A module that the walk came to: its file, its content, and which parts are reached so far."""

    def __init__(self, name: str, file: Path | None, folder: Path | None, content: PythonFile):
        self.name = name
        self.file = file
        self.folder = folder  # only for a package
        self.content = content
        self.units: set[int] = set()
        self.bindings: set[str] = set()  # `name=module.attribute` of the imports that are used
        self.whole = False
        self.by_name: dict[str, list[int]] = {}
        for number, unit in enumerate(content.units):
            for name_ in unit.binds:
                self.by_name.setdefault(name_, []).append(number)
        # A name may be imported several times: in a try and its except, in two branches, or twice.
        self.imported = by_name(content.imports)
        self.stars = [each for each in content.imports if each.attribute == "*"]
        self.lazy: dict[str, Binding] | None = None  # of the names that are imported on first use

    def copy(self) -> "ReachedModule":
        """A copy with reached parts of its own; what only depends on the content is shared."""
        other = copy(self)
        other.units, other.bindings = set(self.units), set(self.bindings)
        return other

    def digest(self, parsed: ParsedFiles) -> str | None:
        """A hash of all parts that are reached; None if no part is."""
        if self.file is None:
            return None
        if not self.content.understood:
            parts = [parsed.sha256(self.file)]
        else:
            parts = [self.content.units[number].hash for number in sorted(self.units)]
            parts += sorted(self.bindings)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest() if parts else None

    @property
    def package(self) -> str:
        """The package that relative imports in this module start from."""
        return self.name if self.folder else self.name.rpartition(".")[0]


def file_and_folder(place: Path) -> tuple[Path | None, Path | None] | None:
    """The file of a module and, for a package, its folder; None if there is no module.

    place: path of the module without `.py`. A namespace package is a folder without a file.
    """
    if place.is_dir() and (place / "__init__.py").is_file():
        return place / "__init__.py", place
    if place.with_suffix(".py").is_file():
        return place.with_suffix(".py"), None
    return (None, place) if place.is_dir() else None


def by_name(bindings: Iterable[Binding]) -> dict[str, list[Binding]]:
    """name -> the bindings of that name, without those of `*`."""
    found: dict[str, list[Binding]] = {}
    for each in bindings:
        if each.attribute != "*":
            found.setdefault(each.name, []).append(each)
    return found
