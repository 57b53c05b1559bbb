"""Read a pyproject.toml as typed values.

Each value is checked only when it is read, so that a mistake in one affects only what needs it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version
from research_data.assets.needs import FileNeed, HubNeed, file_needs, hub_needs
from research_data.errors import UnreadableError, UsageError
from research_data.plain_files import read_toml, table_of
from research_data.shown import brief

from research_train.errors import MemberError, RequirementError

GROUP = "research.experiments"  # the entry-point group of experiments


@dataclass(frozen=True)
class Pyproject:
    """The content of a pyproject.toml; a missing value is empty or None.

    The properties raise UnreadableError if a table is something else, RequirementError for a wrong
    version or requirement, UsageError for a wrong dependency group, and MemberError for a wrong
    value under [tool.research].
    """

    file: Path
    content: dict[str, Any]

    @property
    def name(self) -> str:
        """Its name for uv, `paper-mnist1d`. Raises UnreadableError if there is none."""
        name = self._project.get("name")
        if not isinstance(name, str) or not name:
            raise UnreadableError(self.file, '[project] has no name. Write `name = "..."` there.')
        return name

    @property
    def version(self) -> Version:
        """Its version."""
        version = str(self._project.get("version", ""))
        try:
            return Version(version)
        except InvalidVersion as error:
            raise RequirementError(
                f"{self.file}: version is {version!r}. Write one like '0.1.0.dev0'; a release gets "
                "its number from it."
            ) from error

    @property
    def description(self) -> str:
        """Its description, one line."""
        return str(self._project.get("description", ""))

    @property
    def dependencies(self) -> list[str]:
        """Its dependencies as written."""
        listed = self._project.get("dependencies", [])
        if not _is_list_of_texts(listed):
            raise RequirementError(
                f"{self.file}: project.dependencies is {brief(listed)}: write a list of texts"
            )
        return list(listed)

    @property
    def requirements(self) -> list[Requirement]:
        """Its dependencies that apply on this platform."""
        try:
            return _applying(self.dependencies)
        except InvalidRequirement as error:
            raise RequirementError(f"{self.file}: {error}") from error

    @property
    def group_requirements(self) -> list[Requirement]:
        """The entries of its dependency groups that apply on this platform."""
        requirements = []
        for name, group in self._table("dependency-groups").items():
            if not isinstance(group, list):
                raise UsageError(f"{self.file}: group {name} is {brief(group)}: write a list")
            # An entry that isn't text includes another group, which this loop reads by itself.
            texts = [text for text in group if isinstance(text, str)]
            try:
                requirements += _applying(texts)
            except InvalidRequirement as error:
                raise UsageError(f"{self.file}: group {name}: {error}") from error
        return requirements

    @property
    def sources(self) -> set[str]:
        """The distributions that have an entry in [tool.uv.sources]."""
        return {canonicalize_name(name) for name in self._table("tool", "uv", "sources")}

    @property
    def experiments(self) -> dict[str, str]:
        """Name of each experiment -> its module."""
        return dict(self._table("project", "entry-points", GROUP))

    @property
    def title(self) -> str:
        """The paper's title."""
        return self._text("title")

    @property
    def authors(self) -> str:
        """The paper's authors in one line; the file may have them as a list of texts."""
        authors = self._research.get("authors")
        return ", ".join(authors) if _is_list_of_texts(authors) else self._text("authors")

    @property
    def arxiv(self) -> str:
        """The paper's arXiv identifier."""
        return self._text("arxiv")

    @property
    def year(self) -> int | None:
        """The year in which the paper appeared."""
        year = self._research.get("year")
        if year is not None and type(year) is not int:
            raise MemberError(f"{self._where} year = {brief(year)}: write a number")
        return year

    @property
    def hub_needs(self) -> list[HubNeed]:
        """The datasets, then the models that it needs from the hub."""
        research = self._research
        try:
            return [*hub_needs("dataset", research), *hub_needs("model", research)]
        except UsageError as error:
            raise MemberError(f"{self._where} {error}") from error

    @property
    def file_needs(self) -> list[FileNeed]:
        """The files that it needs from addresses of the web."""
        try:
            return file_needs(self._research)
        except UsageError as error:
            raise MemberError(f"{self._where} {error}") from error

    @property
    def generated(self) -> dict[str, str]:
        """Name of each dataset that its code generates -> MODULE:ATTRIBUTE."""
        table = self._research.get("generated", {})
        if not isinstance(table, dict):
            raise MemberError(f"{self._where} generated = {brief(table)}: write a table")
        return {name: str(where) for name, where in table.items()}

    @property
    def needs(self) -> dict[str, list[str]]:
        """Experiment -> the names of what it needs, of those that don't need all, as written."""
        table = self._research.get("needs", {})
        if not isinstance(table, dict):
            raise MemberError(f"{self._where} needs = {brief(table)}: write a table")
        for experiment, names in table.items():
            if not _is_list_of_texts(names):
                raise MemberError(
                    f"{self._where} needs.{experiment} = {brief(names)}: write a list of names, "
                    "[] for none"
                )
        return dict(table)

    @property
    def _where(self) -> str:
        return f"{self.file}: [tool.research]"

    @property
    def _project(self) -> dict[str, Any]:
        return self._table("project")

    @property
    def _research(self) -> dict[str, Any]:
        try:
            return self._table("tool", "research")
        except UnreadableError as error:
            raise MemberError(str(error)) from error

    def _table(self, *names: str) -> dict[str, Any]:
        return table_of(self.content, *names, path=self.file)

    def _text(self, key: str) -> str:
        text = self._research.get(key, "")
        if not isinstance(text, str):
            raise MemberError(f"{self._where} {key} = {brief(text)}: write text")
        return text


def read_pyproject(folder: Path) -> Pyproject:
    """The pyproject.toml of a folder. Raises UnreadableError."""
    file = folder / "pyproject.toml"
    return Pyproject(file, read_toml(file))


def _is_list_of_texts(value: object) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _applying(texts: list[str]) -> list[Requirement]:
    """The requirements for this platform. Raises InvalidRequirement, which quotes the text."""
    requirements = []
    for text in texts:
        try:
            requirements.append(Requirement(text))
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]  # the other lines draw an arrow below the text
            raise InvalidRequirement(
                f"{text!r} is not a requirement: {reason}. Write it like 'research-data>=0.1'."
            ) from error
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
