"""Find the code that a training can run, for its fingerprint and archive.

From an experiment's `train` and `Config`, and from what every training goes through (ROOTS), along
imports and names, through the member and the internal packages: see `reached_code`. Other
packages end the way; they count by their versions.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from research_train.code.parsed_files import ParsedFiles
from research_train.code.places import files_in, is_installed, module_folder
from research_train.code.python_units import UNREADABLE, Binding, PythonFile, Unit
from research_train.code.reached_module import ReachedModule, by_name, file_and_folder
from research_train.experiment.members import Experiment, Member
from research_train.versions.requirements import internal_packages

# What every training goes through, though no paper imports it. The launcher around it reads words
# and writes records; seeds, device and weights come from these.
ROOTS = (
    ("research_train.training", "train_run"),
    ("research_train.record.run", "Run"),
    ("research_train.state.random_state", "seed_everything"),
    ("research_train.processes.hash_seed", "FIXED"),
)
# Where following ends: these only show or copy numbers that stand in metrics.jsonl already.
BESIDE_THE_NUMBERS = frozenset({"research_train.record.trackers", "research_train.loop.progress"})

# Of the standard library, what imports names built at run time; metadata and resources don't.
IMPORTERS = ("importlib", "pkgutil", "pydoc", "runpy", "zipimport")
READS_DATA = ("importlib.metadata.version", "importlib.resources")


@dataclass
class ReachedCode:
    """What a training reaches.

    modules: name -> digest of what it reaches of the module. files: theirs. external: top-level
    modules of other packages that it uses. strings: texts in the member's files. lists_files:
    whether code there looks what files there are.
    """

    modules: dict[str, str] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    lists_files: bool = False


def reached_code(experiment: Experiment, parsed: ParsedFiles) -> ReachedCode:
    """What training an experiment reaches.

    Of a module, what its import runs counts, and the definitions that are used from what is
    reached: a function or a class nobody here uses does not. An import that can't be followed (a
    name built at run time, exec) counts all of the package that it stands in; a look at a module's
    names (globals, or the module itself as a value) all of that module.
    """
    own = ((f"{experiment.module}.train", "train"), (f"{experiment.module}.config", "Config"))
    return reached_from([*own, *ROOTS], experiment.member, parsed)


def reached_from(
    names: Iterable[tuple[str, str]], member: Member, parsed: ParsedFiles
) -> ReachedCode:
    """What is reached from names in modules, (module, name) each, as a member's code uses them."""
    tops = {module.split(".")[0] for module in member.experiments.values()}
    walk = _Walk(tops, member.workspace, parsed)
    for module, name in names:
        walk.need(module, name)
    walk.finish()
    return walk.result()


class _Walk:
    """Finds what is reached; what is left to do stands in lists, so that no cycle can hang it."""

    def __init__(self, tops: set[str], workspace: Path, parsed: ParsedFiles):
        self.member = tops  # top-level modules of the member
        self.internal = {name.replace("-", "_") for name in internal_packages(workspace)} | {
            "research_train",
            "research_data",
            "research_models",
            "research_viz",
        }
        self.parsed = parsed
        self.modules: dict[str, ReachedModule | None] = {}
        self.external: set[str] = set()
        self.subclasses = False
        self.wholes: set[str] = set()  # top-level modules of which all counts
        self.waiting: list[tuple[ReachedModule, int]] = []
        self.known: dict[tuple[str, str, tuple[str, ...]], bool] = {}
        self.tops: dict[str, bool] = {}

    def finish(self) -> None:
        """Follow all that is waiting."""
        while self.waiting:
            module, number = self.waiting.pop()
            self._follow(module, module.content.units[number])

    def result(self) -> ReachedCode:
        """What was found."""
        found = ReachedCode(external=self.external)
        for module in filter(None, self.modules.values()):
            if module.file is None:
                continue
            if digest := module.digest(self.parsed):
                found.modules[module.name] = digest
                found.files.add(module.file)
            if module.name.split(".")[0] in self.member:
                found.strings.update(module.content.strings)
                found.lists_files |= module.content.lists_files
        return found

    # Modules

    def ours(self, name: str) -> bool:
        """Whether a module's code is followed, rather than its version taken."""
        top = name.split(".")[0]
        if top in sys.stdlib_module_names:
            return False
        if top in self.member or top in self.internal:
            return True
        if top not in self.tops:
            self.tops[top] = not is_installed(top)
        return self.tops[top]

    def module(self, name: str) -> ReachedModule | None:
        """A module of ours, imported: what its import does is reached. None: there is none."""
        if name in self.modules:
            return self.modules[name]
        parent, _, last = name.rpartition(".")
        if parent:
            above = self.module(parent)
            if above is None or above.folder is None:
                return None
            place = above.folder / last
        else:
            found = module_folder(name)
            if found is None:
                return None
            place = found if found.is_dir() else found.with_suffix("")
        self.modules[name] = None
        if (lies := file_and_folder(place)) is None:
            return None
        file, folder = lies
        content = self.parsed.read(file) if file else PythonFile()
        module = self.modules[name] = ReachedModule(name, file, folder, content)
        self._run(module)
        return module

    def _run(self, module: ReachedModule) -> None:
        """What happens when the module is imported."""
        for number, unit in enumerate(module.content.units):
            if unit.hooks:
                self._reach_classes()
            if unit.runs or (self.subclasses and unit.is_class):
                self._reach(module, number)
        for binding in module.content.imports:
            self._load(module, binding)
            if binding.name in module.content.unmentioned and not module.folder:
                target = self._absolute(module, binding)
                if not self.ours(target) and target.split(".")[0] not in sys.stdlib_module_names:
                    self.external.add(target.split(".")[0])  # for what its import does
        if not module.content.understood:
            self._whole_package(module)

    def _load(self, module: ReachedModule, binding: Binding) -> None:
        """Import what an import statement names, as a module that is loaded and no more."""
        target = self._absolute(module, binding)
        if not self.ours(target) or target in BESIDE_THE_NUMBERS:
            return
        loaded = self.module(target)
        if binding.attribute in (None, "*") or loaded is None:
            return
        assert binding.attribute is not None
        if lazy := self._lazy(loaded, binding.attribute):
            self._load(loaded, lazy)
        elif loaded.folder and binding.attribute not in loaded.by_name:
            self.module(f"{target}.{binding.attribute}")

    def _absolute(self, module: ReachedModule, binding: Binding) -> str:
        if not binding.level:
            return binding.module
        base = module.package.split(".")
        base = base[: len(base) - (binding.level - 1)]
        return ".".join([*base, *filter(None, [binding.module])])

    def _lazy(self, module: ReachedModule, name: str) -> Binding | None:
        """Where a name comes from that the module imports when it is asked for."""
        names = module.content.lazy
        if module.content.stub and module.file:
            stub = module.file.with_suffix(".pyi")
            names = self.parsed.read(stub).imports if stub.is_file() else []
        return next((each for each in names if each.name == name), None)

    # Names

    def need(self, name: str, attribute: str, rest: tuple[str, ...] = ()) -> bool:
        """Reach what a module calls attribute, and of that rest; whether it is known there."""
        asked = (name, attribute, rest)
        if asked not in self.known:
            self.known[asked] = True  # where modules import a name from each other
            self.known[asked] = self._need(name, attribute, rest)
        return self.known[asked]

    def _need(self, name: str, attribute: str, rest: tuple[str, ...]) -> bool:
        module = self.module(name)
        if module is None:
            return False
        if attribute in ("*", "__dict__"):
            self._whole(module)
            return True
        if (numbers := module.by_name.get(attribute)) is not None:
            for number in numbers:
                self._reach(module, number)
        if attribute == "__version__":
            self.external.add(name.split(".")[0])  # its version is what is used
        lazy = self._lazy(module, attribute)
        # `from . import x` in a package names the submodule, unless something else is called so.
        bindings = [
            each
            for each in module.imported.get(attribute) or ([lazy] if lazy else [])
            if (self._absolute(module, each), each.attribute) != (name, attribute)
        ]
        if bindings:
            self._bind_all(module, bindings, list(rest))
        elif module.folder and self.module(f"{name}.{attribute}") is not None:
            self._of_module(f"{name}.{attribute}", list(rest))
            return True
        known = self._through_stars(module, attribute, rest)
        if bindings or numbers is not None or known:
            return True
        for number in module.by_name.get("__getattr__", ()):
            self._reach(module, number)
            return True
        return attribute in ("__file__", "__name__", "__path__", "__version__")

    def _through_stars(self, module: ReachedModule, name: str, rest: tuple[str, ...]) -> bool:
        """Reach what may be called so in the modules of which this one imports all names."""
        stars = [b for b in module.content.imports if b.attribute == "*"]
        known = []
        for star in stars:
            target = self._absolute(module, star)
            if not self.ours(target):
                self._bind(module, star, [])
            elif self.need(target, name, rest):
                known.append(target)
                if (other := self.module(target)) is not None:
                    for number in other.by_name.get("__all__", ()):
                        self._reach(other, number)
        if len(stars) > 1 and known:  # the last one wins
            module.bindings.add(f"*={'|'.join(self._absolute(module, star) for star in stars)}")
        return bool(known)

    def _of_module(self, name: str, attributes: list[str]) -> None:
        """What is used of a module that stands as a value."""
        if not attributes:
            if (module := self.module(name)) is not None:
                self._whole(module)
        elif not self.need(name, attributes[0], tuple(attributes[1:])) and (
            module := self.module(name)
        ):
            self._whole(module)  # not understood

    def _bind_all(
        self, module: ReachedModule, bindings: Sequence[Binding], attributes: list[str]
    ) -> None:
        """Use what a name is bound to, now or elsewhere."""
        for binding in bindings:
            self._bind(module, binding, attributes)
        if len(bindings) > 1:  # the last one that runs wins
            places = [f"{self._absolute(module, b)}.{b.attribute}" for b in bindings]
            module.bindings.add(f"{bindings[0].name}={'|'.join(places)}")

    def _bind(self, module: ReachedModule, binding: Binding, attributes: list[str]) -> None:
        """Use what an import has bound in a module."""
        target = self._absolute(module, binding)
        if target in BESIDE_THE_NUMBERS:
            return
        if binding.attribute is None:
            if binding.name == binding.module.split(".")[0] and self.ours(target):
                self.module(binding.module)  # `import a.b` binds a, and imports a.b
                target = binding.name
            whole = target
        else:
            whole = f"{target}.{binding.attribute}"
        module.bindings.add(f"{binding.name}={whole}")
        if not self.ours(target):
            if target.split(".")[0] not in sys.stdlib_module_names:
                self.external.add(target.split(".")[0])
            return
        if binding.attribute is None:
            self._of_module(target, attributes)
        elif not self.need(target, binding.attribute, tuple(attributes)) and (
            other := self.module(target)
        ):
            self._whole(other)

    def _reach(self, module: ReachedModule, number: int) -> None:
        if number not in module.units:
            module.units.add(number)
            self.waiting.append((module, number))

    def _follow(self, module: ReachedModule, unit: Unit) -> None:
        """What a unit uses."""
        inner = by_name(unit.imports)
        for use in unit.uses:
            first, *attributes = use.split(".")
            for bindings in (inner.get(first, []), module.imported.get(first, [])):
                self._bind_all(module, bindings, attributes)
                for binding in bindings:
                    self._check_importer(module, unit, binding, attributes)
            for number in module.by_name.get(first, ()):
                self._reach(module, number)
            self._through_stars(module, first, tuple(attributes))
        for binding in unit.imports:
            self._load(module, binding)
            if binding.name == "*" or binding.attribute == "*":
                self._bind(module, binding, [])
        if unit.unreadable:
            self._whole_package(module)
        if unit.looks_around:
            self._whole(module)
        if unit.subclasses:
            self._reach_classes()

    def _reach_classes(self) -> None:
        """Classes are found by their base from now on: all of them count."""
        if self.subclasses:
            return
        self.subclasses = True
        for other in filter(None, list(self.modules.values())):
            for number, each in enumerate(other.content.units):
                if each.is_class:
                    self._reach(other, number)

    def _check_importer(
        self, module: ReachedModule, unit: Unit, binding: Binding, attributes: list[str]
    ) -> None:
        """An import by a name that is built at run time counts the whole package."""
        words = [binding.module, *filter(None, [binding.attribute]), *attributes]
        used = ".".join(words)
        if not binding.level and any(f"{used}.".startswith(f"{each}.") for each in UNREADABLE):
            self._whole_package(module)
        if binding.level or used.split(".")[0] not in IMPORTERS:
            return
        if unit.literal and "import_module" in (binding.name, *attributes):
            return
        if not used.startswith(READS_DATA):
            self._whole_package(module)

    def _whole(self, module: ReachedModule) -> None:
        if module.whole:
            return
        module.whole = True
        for number in range(len(module.content.units)):
            self._reach(module, number)
        names = [b for b in module.content.imports if b.attribute != "*"]
        if (
            module.content.stub
            and module.file
            and (stub := module.file.with_suffix(".pyi")).is_file()
        ):
            names += self.parsed.read(stub).imports
        for binding in [*names, *module.content.lazy]:
            if binding.attribute is not None:
                self._bind(module, binding, [])

    def _whole_package(self, module: ReachedModule) -> None:
        """Every module of the package that a module stands in."""
        top = module.name.split(".")[0]
        if top in self.wholes:
            return
        package = self.module(top)
        if package is None or package.folder is None:
            self._whole(module)
            return
        self.wholes.add(top)
        for file in files_in(package.folder):
            if file.suffix == ".py":
                parts = file.relative_to(package.folder).with_suffix("").parts
                name = ".".join([top, *(part for part in parts if part != "__init__")])
                if name not in BESIDE_THE_NUMBERS and (each := self.module(name)) is not None:
                    self._whole(each)
