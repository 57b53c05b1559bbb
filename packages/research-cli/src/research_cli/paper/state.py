"""The papers and projects of a workspace: what each is, has reproduced, runs under, did last."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from research_data.errors import ResearchError
from research_data.plain_files import read_toml, table_of
from research_train.claims.claim import read_claims
from research_train.experiment.members import GROUP, Member
from research_train.record.folders import run_folders
from research_train.record.summary import RunSummary, summarise

from research_cli.package.state import Dependent, project, requirements_met
from research_cli.paper.recorded_results import read_results, standings


@dataclass(frozen=True)
class PaperState:
    """A paper or project as its folder says; nothing of it is imported.

    title: of [tool.research], or else the description. verdicts: how often each, of the values in
    results.json by what claims.yaml says now; None where nothing was reproduced. pins: what it
    requires of our packages in a certain version, and what runs. last: its newest run. problem:
    what can't be read.
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


def member_folders(workspace: Path, unread: bool = False) -> list[Member]:
    """Papers, then projects, with their experiments, as their pyprojects say, installed or not.

    unread: list those too whose pyproject can't be read, by their folders' names. Raises
    ResearchError for them otherwise.
    """
    found = []
    for kind in ("paper", "project"):
        for file in sorted(workspace.glob(f"{kind}s/*/pyproject.toml")):
            folder = file.parent
            try:
                table = cast(dict[str, Any], project(file))
            except ResearchError:
                if not unread:
                    raise
                table = {"name": f"{kind}-{folder.name}"}
            points = table_of(table, "entry-points", GROUP, path=file)
            named = next(iter(points), folder.name).split(".")[0]  # what commands call it
            found.append(Member(named, str(table["name"]), folder, dict(points)))
    return found


def pyproject_of(member: Member) -> dict[str, Any]:
    """The content of a member's pyproject.toml, which `member_folders` has read before."""
    return read_toml(member.folder / "pyproject.toml")


def kind_of(member: Member) -> str:
    """Whether it is a paper or a project."""
    return member.folder.parent.name.removesuffix("s")


def _state(member: Member) -> PaperState:
    pyproject = pyproject_of(member)
    file = member.folder / "pyproject.toml"
    said, problem = dict[str, Any](), ""
    verdicts, pins = None, []
    try:
        said = table_of(pyproject, "tool", "research", path=file)
        if results := read_results(member):
            claims = read_claims(member.folder).claims
            verdicts = dict(Counter(each.verdict for each in standings(claims, results)))
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
