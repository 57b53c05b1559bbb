"""A module that a training uses: its file, its content, and which parts are used."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from research_train.code.parsed_files import ParsedFiles
from research_train.code.python_units import Binding, PythonFile


class ReachedModule:
    """A module on the way: its file, what stands in it, and what of it is reached so far."""

    def __init__(self, name: str, file: Path | None, folder: Path | None, content: PythonFile):
        self.name = name
        self.file = file
        self.folder = folder  # of a package
        self.content = content
        self.units: set[int] = set()
        self.bindings: set[str] = set()  # `name=module.attribute` of the imports that are used
        self.whole = False
        self.by_name: dict[str, list[int]] = {}
        for number, unit in enumerate(content.units):
            for name_ in unit.binds:
                self.by_name.setdefault(name_, []).append(number)
        # Several of one name: a try and its except, a branch each, or one after the other.
        self.imported = by_name(content.imports)

    def digest(self, parsed: ParsedFiles) -> str | None:
        """A hash of all that is reached of it; None where nothing is."""
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
        """The package that relative imports start from."""
        return self.name if self.folder else self.name.rpartition(".")[0]


def file_and_folder(place: Path) -> tuple[Path | None, Path | None] | None:
    """The file of a module and, of a package, its folder. place: without `.py`. None: no module.

    A namespace is a folder without a file.
    """
    if place.is_dir() and (place / "__init__.py").is_file():
        return place / "__init__.py", place
    if place.with_suffix(".py").is_file():
        return place.with_suffix(".py"), None
    return (None, place) if place.is_dir() else None


def by_name(bindings: Iterable[Binding]) -> dict[str, list[Binding]]:
    """Every name that imports bind, `*` apart, and what to."""
    found: dict[str, list[Binding]] = {}
    for each in bindings:
        if each.attribute != "*":
            found.setdefault(each.name, []).append(each)
    return found
