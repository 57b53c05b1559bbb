"""Find the code that a training can run, for its fingerprint and archive.

The search starts from an experiment's `train` and `Config`, and from the code that every training
runs (ROOTS). It follows imports and names through the member and the internal packages; see
`reached_code`. It doesn't follow other packages: they count by their versions.
"""

import sys
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path

from research_train.code.parsed_files import ParsedFiles
from research_train.code.places import files_in, is_installed, module_folder
from research_train.code.python_units import UNREADABLE, Binding, PythonFile, Unit
from research_train.code.reached_module import ReachedModule, by_name, file_and_folder
from research_train.experiment.members import Experiment, Member
from research_train.versions.requirements import internal_packages

# Code that every training runs, though no paper imports it. Seeds, device and weights come from
# here; the launcher around it only reads the command line and writes records.
ROOTS = (
    ("research_train.training", "train_run"),
    ("research_train.record.run", "Run"),
    ("research_train.state.random_state", "seed_everything"),
    ("research_train.processes.hash_seed", "FIXED"),
)
# What the definition of every generated dataset uses.
GENERATED = (("research_data", "GeneratedDataset"),)
# Modules that aren't followed, since they only show or copy numbers; matplotlib is behind them.
BESIDE_THE_NUMBERS = frozenset(
    {
        "research_train.loop.progress",
        "research_train.loop.stalls",
        "research_train.record.media",
        "research_train.record.media_content",
        "research_train.record.trackers",
    }
)

# Modules of the standard library that import names built at run time, and their exceptions.
IMPORTERS = ("importlib", "pkgutil", "pydoc", "runpy", "zipimport")
READS_DATA = ("importlib.metadata.version", "importlib.resources")


@dataclass
class ReachedCode:
    """What a training reaches.

    modules: name -> digest of the reached parts of the module. files: the files of these modules.
    external: top-level modules of other packages that it uses. strings: strings in the member's
    code. lists_files: whether the member's code lists folders.
    """

    modules: dict[str, str] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)
    external: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    lists_files: bool = False


def reached_code(
    experiment: Experiment, parsed: ParsedFiles, shared: "SharedWalks | None" = None
) -> ReachedCode:
    """The code that training an experiment reaches.

    shared: what `shared_walks` gives, for several experiments of a workspace.

    In a module, the statements that its import runs count, and the definitions that reached code
    uses; unused functions and classes don't. Where an import can't be followed (a name built at run
    time, exec), the whole package that contains it counts. Where code looks at the names of a
    module (globals, or the module itself as a value), that whole module counts.
    """
    own = ((f"{experiment.module}.train", "train"), (f"{experiment.module}.config", "Config"))
    shared = shared or shared_walks(experiment.member.workspace, parsed)
    return shared.trainings.copy(_tops(experiment.member), parsed).reach(own).result()


def reached_from(
    names: Iterable[tuple[str, str]],
    member: Member,
    parsed: ParsedFiles,
    shared: "Walk | None" = None,
) -> ReachedCode:
    """What is reached from names in modules, (module, name) each, as a member's code uses them.

    shared: a search whose code is reached as well, and which this one goes on with.
    """
    tops = _tops(member)
    walk = shared.copy(tops, parsed) if shared else Walk(tops, member.workspace, parsed)
    return walk.reach(names).result()


@dataclass(frozen=True)
class SharedWalks:
    """The searches that the members of a workspace share, to go on with in copies.

    trainings: from ROOTS, nine of ten modules that an experiment reaches. generated: from
    GENERATED, as much of what the definition of a dataset reaches; None where none is asked about.
    versions: external modules -> the versions of what provides them, as far as asked for.
    """

    trainings: "Walk"
    generated: "Walk | None"
    versions: dict[frozenset[str], dict[str, str]] = field(default_factory=dict)


def shared_walks(workspace: Path, parsed: ParsedFiles, generated: bool = False) -> SharedWalks:
    """The searches that the members of a workspace share. generated: with that from GENERATED."""

    def walk(names: Iterable[tuple[str, str]]) -> Walk:
        return Walk(set(), workspace, parsed).reach(names)

    return SharedWalks(walk(ROOTS), walk(GENERATED) if generated else None)


def _tops(member: Member) -> set[str]:
    """The top-level modules of a member."""
    return {module.split(".")[0] for module in member.experiments.values()}


class Walk:
    """The search for reached code.

    It keeps lists of modules to import and of units to follow, so cycles can't hang it, nor long
    chains of imports exhaust the stack.
    """

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
        self.importing: list[ReachedModule] = []
        self.waiting: list[tuple[ReachedModule, int]] = []
        self.known: dict[tuple[str, str, tuple[str, ...]], bool] = {}
        self.tops: dict[str, bool] = {}
        self.importers = {each.split(".")[0] for each in (*IMPORTERS, *UNREADABLE)}

    def copy(self, tops: set[str], parsed: ParsedFiles) -> "Walk":
        """A copy for the code of a member with these top-level modules, to go on with."""
        other = copy(self)
        other.member, other.parsed = tops, parsed
        other.modules = {name: each and each.copy() for name, each in self.modules.items()}
        other.external, other.wholes = set(self.external), set(self.wholes)
        other.importing, other.waiting = [], []
        other.known = dict(self.known)
        other.tops = {top: ours for top, ours in self.tops.items() if top not in tops}
        return other

    def reach(self, names: Iterable[tuple[str, str]]) -> "Walk":
        """Reach names in modules, (module, name) each, and all that they use; returns itself."""
        for place, name in names:
            self.need(place, name)
        while self.importing or self.waiting:
            if self.importing:
                self._run(self.importing.pop())
            else:
                module, number = self.waiting.pop()
                self._follow(module, module.content.units[number])
        return self

    def result(self) -> ReachedCode:
        """The code that was reached."""
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
        """Whether a module's code is followed, instead of counting by its version."""
        top = name.partition(".")[0]
        if top not in self.tops:
            self.tops[top] = top not in sys.stdlib_module_names and (
                top in self.member or top in self.internal or not is_installed(top)
            )
        return self.tops[top]

    def module(self, name: str) -> ReachedModule | None:
        """Import a module of ours: what its import runs is reached. None for an unknown one."""
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
        self.importing.append(module)
        return module

    def _run(self, module: ReachedModule) -> None:
        """Reach what runs when the module is imported."""
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
                    self.external.add(target.split(".")[0])  # its import may have an effect
        if not module.content.understood:
            self._whole_package(module)

    def _load(self, module: ReachedModule, binding: Binding) -> None:
        """Import the modules that an import statement loads, without reaching the bound names."""
        target = self._absolute(module, binding)
        if not self.ours(target) or target in BESIDE_THE_NUMBERS:
            return
        loaded = self.module(target)
        if binding.attribute in (None, "*") or loaded is None:
            return
        assert binding.attribute is not None
        lazy = self._lazy(loaded, binding.attribute)
        # In a stub, `from . import x` lists the package's own module x.
        if lazy and (self._absolute(loaded, lazy), lazy.attribute) != (target, binding.attribute):
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
        """The binding of a name that the module imports on first use (lazy_loader)."""
        if module.lazy is None:
            names = module.content.lazy
            if module.content.stub and module.file:
                stub = module.file.with_suffix(".pyi")
                names = self.parsed.read(stub).imports if stub.is_file() else []
            module.lazy = {each.name: each for each in reversed(names)}  # the first one counts
        return module.lazy.get(name)

    # Names

    def need(self, name: str, attribute: str, rest: tuple[str, ...] = ()) -> bool:
        """Reach a module's attribute, and rest within it; returns whether the module has it."""
        asked = (name, attribute, rest)
        if asked not in self.known:
            self.known[asked] = True  # ends the recursion where modules import from each other
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
        # `from . import x` in a package means its submodule, unless it defines the name x.
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
        """Reach the name in the modules from which this one imports `*`; returns if any has it."""
        if not (stars := module.stars):
            return False
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
        """Reach these attributes of a module; all of it if there are none or they aren't found."""
        if not attributes:
            if (module := self.module(name)) is not None:
                self._whole(module)
        elif not self.need(name, attributes[0], tuple(attributes[1:])) and (
            module := self.module(name)
        ):
            self._whole(module)  # the attribute isn't found

    def _bind_all(
        self, module: ReachedModule, bindings: Sequence[Binding], attributes: list[str]
    ) -> None:
        """Reach everything that a name may be bound to."""
        for binding in bindings:
            self._bind(module, binding, attributes)
        if len(bindings) > 1:  # the last one that runs wins
            places = [f"{self._absolute(module, b)}.{b.attribute}" for b in bindings]
            module.bindings.add(f"{bindings[0].name}={'|'.join(places)}")

    def _bind(self, module: ReachedModule, binding: Binding, attributes: list[str]) -> None:
        """Reach what an import binds in a module."""
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
        """Reach what a unit uses."""
        inner = by_name(unit.imports)
        for use in unit.uses:
            first, *attributes = use.split(".")
            for bindings in filter(None, (inner.get(first), module.imported.get(first))):
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
        """Reach all classes, now and from now on, since code finds them by their base class."""
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
        """Reach the whole package if it imports a module by a name that is built at run time."""
        if binding.level or binding.module.partition(".")[0] not in self.importers:
            return
        words = [binding.module, *filter(None, [binding.attribute]), *attributes]
        used = ".".join(words)
        if any(f"{used}.".startswith(f"{each}.") for each in UNREADABLE):
            self._whole_package(module)
        if used.split(".")[0] not in IMPORTERS:
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
        """Reach every module of the top-level package that contains a module."""
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
