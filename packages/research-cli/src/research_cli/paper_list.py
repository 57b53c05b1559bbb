"""The papers and projects of a workspace: what each is, has reproduced, runs under, did last."""

import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from research_data.errors import ResearchError
from research_train.claims_report import RESULTS
from research_train.members import GROUP, Member
from research_train.run_folders import run_folders
from research_train.run_table import RunSummary, summarise

from research_cli.package_state import Dependent, members, requirements_met


class RecordedClaim(BaseModel):
    """What results.json says of a claim. values: of each seed."""

    name: str
    published: float
    verdict: str
    values: list[float]


class Results(BaseModel):
    """The content of results.json, as far as it is read here."""

    date: str
    hardware: str
    packages: str
    claims: list[RecordedClaim]


@dataclass(frozen=True)
class PaperState:
    """A paper or project as its folder says; nothing of it is imported.

    title: of [tool.research], or else the description. verdicts: how often each, of results.json;
    None where nothing was reproduced. pins: what it requires of our packages in a certain version,
    and what runs. last: its newest run. problem: what can't be read.
    """

    member: Member
    kind: str
    title: str
    year: int | None = None
    arxiv: str | None = None
    verdicts: dict[str, int] | None = None
    pins: list[Dependent] = field(default_factory=list)
    last: RunSummary | None = None
    problem: str = ""


def papers(workspace: Path) -> list[PaperState]:
    """Every paper, then every project, by name. Raises ResearchError for an unread pyproject."""
    return [_state(member) for member in member_folders(workspace)]


def member_folders(workspace: Path) -> list[Member]:
    """Papers and projects with their experiments, as their pyprojects say, installed or not."""
    found = []
    for member in members(workspace):
        if member.folder.parent.name in ("papers", "projects"):
            points = pyproject_of(member)["project"].get("entry-points", {}).get(GROUP, {})
            named = next(iter(points), member.name).split(".")[0]  # what commands call it
            found.append(Member(named, member.distribution, member.folder, dict(points)))
    return found


def pyproject_of(member: Member) -> dict[str, Any]:
    """The content of a member's pyproject.toml, which `members` has read before."""
    return tomllib.loads((member.folder / "pyproject.toml").read_text(encoding="utf-8"))


def kind_of(member: Member) -> str:
    """Whether it is a paper or a project."""
    return member.folder.parent.name.removesuffix("s")


def read_results(member: Member) -> Results | None:
    """A paper's results.json; None where nothing was reproduced. Raises ResearchError."""
    file = member.folder / RESULTS
    if not file.is_file():
        return None
    try:
        return Results.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise ResearchError(
            f"{file}: is not what `reproduce` writes. `git checkout` brings it back, and "
            "`reproduce` makes it anew."
        ) from error


def _state(member: Member) -> PaperState:
    pyproject = pyproject_of(member)
    said = pyproject.get("tool", {}).get("research", {})
    problem = ""
    verdicts, pins = None, []
    try:
        if results := read_results(member):
            verdicts = dict(Counter(claim.verdict for claim in results.claims))
        pins = [met for met in requirements_met(member).values() if met.requirement.specifier]
    except ResearchError as error:
        problem = str(error)
    folders = run_folders(member.name)
    return PaperState(
        member,
        kind_of(member),
        str(said.get("title") or pyproject["project"].get("description", "")),
        said.get("year"),
        said.get("arxiv"),
        verdicts,
        pins,
        summarise(folders[-1]) if folders else None,
        problem,
    )
