"""A paper or project and its experiments, and those that are installed.

They are found among the installed distributions, through the entry-point group
`research.experiments`: `mnist1d = "paper_mnist1d"` is the default experiment of the member
`mnist1d`, `"mnist1d.double-descent" = "paper_mnist1d.double_descent"` another one.
"""

import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

from packaging.utils import canonicalize_name
from research_data import find_workspace
from research_data.shown import did_you_mean

from research_train.errors import ExperimentError, MemberError
from research_train.experiment.pyproject import GROUP, Pyproject, read_pyproject


@dataclass(frozen=True)
class Member:
    """A paper or project.

    name: what commands call it, `mnist1d`.
    distribution: what uv calls it, `paper-mnist1d`.
    folder: where its pyproject.toml lies.
    experiments: name of each experiment -> the module that holds it.
    """

    name: str
    distribution: str
    folder: Path
    experiments: dict[str, str] = field(hash=False)

    @property
    def workspace(self) -> Path:
        """The workspace's root; the member's own folder where it stands alone."""
        return find_workspace(self.folder) or self.folder

    @property
    def pyproject(self) -> Pyproject:
        """Its pyproject.toml as it is now. Raises UnreadableError."""
        return read_pyproject(self.folder)

    def experiment(self, name: str | None = None) -> "Experiment":
        """The experiment of that name (with or without the member's in front), or the default.

        Raises MemberError with the names there are.
        """
        if name is None:
            name = self.name if len(self.experiments) > 1 else next(iter(self.experiments))
        for candidate in (name, f"{self.name}.{name}"):
            if candidate in self.experiments:
                return Experiment(self, candidate, self.experiments[candidate])
        known = sorted(self.experiments)
        if name == self.name:
            raise MemberError(
                f"{self.name} has no default experiment. Name one of: {', '.join(known)}"
            )
        raise MemberError(
            f"{self.name} has no experiment {name!r}.{did_you_mean(name, known)} "
            f"It has: {', '.join(known)}. One new in its pyproject.toml is found after `uv sync`."
        )


@dataclass(frozen=True)
class Experiment:
    """One trainable thing of a member: a Config, a YAML with its values, and train(config, run)."""

    member: Member
    name: str
    module: str

    @property
    def config_file(self) -> Path:
        """The default experiment's YAML lies in the member's folder, others' beside their code."""
        if self.name == self.member.name:
            return self.member.folder / "config.yaml"
        package = Path(*self.module.split("."))
        for root in (self.member.folder, self.member.folder / "experiments"):
            if (root / package).is_dir():
                return root / package / "config.yaml"
        raise MemberError(
            f"experiment {self.name}: there is no folder {package} in {self.member.folder}"
        )

    def load(self, part: str) -> ModuleType:
        """Import `config`, `train` or `evaluate` of this experiment. Raises ExperimentError."""
        name = f"{self.module}.{part}"
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
                raise  # something that the module itself imports
            raise ExperimentError(
                f"experiment {self.name} has no module {name}, where {part} belongs. "
                "The README of research-train says what a paper provides."
            ) from error

    def function(self, part: str) -> Callable[..., object]:
        """The function `train` of the module `train`, or `evaluate` of `evaluate`."""
        module = self.load(part)
        function = getattr(module, part, None)
        if not callable(function):
            raise ExperimentError(f"{module.__file__} defines no function {part}(config, run)")
        return function


def installed_members() -> list[Member]:
    """Every paper and project installed in this environment, by name."""
    members: dict[str, Member] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        name = entry.name.split(".")[0]
        assert entry.dist is not None
        distribution = entry.dist.name
        if name not in members:
            folder = installed_from(entry.dist)
            if folder is None or not folder.is_dir():
                continue  # installed once, but its folder is gone: another branch's paper
            members[name] = Member(name, distribution, folder, {})
        if members[name].distribution != distribution:
            raise MemberError(
                f"{distribution} and {members[name].distribution} both call an experiment {name}; "
                "rename one in its pyproject.toml"
            )
        members[name].experiments[entry.name] = entry.value
    return [members[name] for name in sorted(members)]


def find_member(name: str, members: Iterable[Member]) -> Member:
    """The member called name (`mnist1d` or `paper-mnist1d`). Raises MemberError."""
    members = list(members)
    for member in members:
        if canonicalize_name(name) in (
            canonicalize_name(member.name),
            canonicalize_name(member.distribution),
        ):
            return member
    known = [member.name for member in members]
    listed = ", ".join(known) or "none (run `uv sync` in the workspace)"
    raise MemberError(
        f"no paper or project {name!r} is installed.{did_you_mean(name, known)} Installed: {listed}"
    )


def installed_from(distribution: importlib.metadata.Distribution) -> Path | None:
    """The folder of an editable install (PEP 610); None for one made from a wheel."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = urlsplit(origin.get("url", ""))
        editable = origin.get("dir_info", {}).get("editable")
    except (ValueError, AttributeError, RecursionError):
        return None  # of no installer that keeps to it
    if url.scheme != "file" or not editable:
        return None
    return Path(unquote(url.path)).resolve()
