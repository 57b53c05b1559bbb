"""A paper or project and its experiments, and those that are installed.

Installed distributions name their experiments as entry points of the group `research.experiments`:
`mnist1d = "paper_mnist1d"` is the default experiment of the member `mnist1d`, and
`"mnist1d.double-descent" = "paper_mnist1d.double_descent"` is another one.
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

    name: its name in commands, `mnist1d`.
    distribution: its name for uv, `paper-mnist1d`.
    folder: the folder with its pyproject.toml.
    experiments: name of each experiment -> its module.
    """

    name: str
    distribution: str
    folder: Path
    experiments: dict[str, str] = field(hash=False)

    @property
    def workspace(self) -> Path:
        """The workspace's root; the member's own folder if it is in no workspace."""
        return find_workspace(self.folder) or self.folder

    @property
    def pyproject(self) -> Pyproject:
        """Its pyproject.toml, read anew each time. Raises UnreadableError."""
        return read_pyproject(self.folder)

    def experiment(self, name: str | None = None) -> "Experiment":
        """The experiment with that name, with or without the member's in front; None: the default.

        Raises MemberError, which lists the experiments.
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
            f"It has: {', '.join(known)}. Run `uv sync` after adding one to its pyproject.toml."
        )


@dataclass(frozen=True)
class Experiment:
    """One trainable thing of a member: a Config, a YAML with its values, and train(config, run)."""

    member: Member
    name: str
    module: str

    @property
    def config_file(self) -> Path:
        """Its config.yaml: in the member's folder for the default experiment, else beside its code.

        Raises MemberError if the experiment's folder doesn't exist.
        """
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
                raise  # the module exists, but something that it imports doesn't
            raise ExperimentError(
                f"experiment {self.name} has no module {name}, which must define {part}. "
                "The README of research-train lists what a paper provides."
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
                continue  # its folder is gone, as after a switch to another branch
            members[name] = Member(name, distribution, folder, {})
        if members[name].distribution != distribution:
            raise MemberError(
                f"{distribution} and {members[name].distribution} both have an experiment {name}. "
                "Rename one of them in its pyproject.toml."
            )
        members[name].experiments[entry.name] = entry.value
    return [members[name] for name in sorted(members)]


def find_member(name: str, members: Iterable[Member]) -> Member:
    """The member whose name (`mnist1d`) or distribution (`paper-mnist1d`) is name.

    Raises MemberError.
    """
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
    """The folder of an editable install (PEP 610); None for any other install."""
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        url = urlsplit(origin.get("url", ""))
        editable = origin.get("dir_info", {}).get("editable")
    except (ValueError, AttributeError, RecursionError):
        return None  # written by an installer that doesn't follow PEP 610
    if url.scheme != "file" or not editable:
        return None
    return Path(unquote(url.path)).resolve()
