"""The state of each paper and project: its versions, its results and its last run."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from research_data.errors import ResearchError
from research_train.claims.claim import read_claims
from research_train.experiment.members import Member
from research_train.experiment.workspace_members import TRAINABLE, kind_of, workspace_members
from research_train.record.folders import run_folders
from research_train.record.summary import RunSummary, summarise
from research_train.results.recorded import read_results
from research_train.results.standing import standings

from research_cli.package.state import Dependent, requirements_met


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
    return [_state(member) for member in workspace_members(workspace, TRAINABLE)]


def _state(member: Member) -> PaperState:
    pyproject = member.pyproject
    title, year, arxiv, problem = "", None, "", ""
    verdicts, pins = None, []
    try:
        title, year, arxiv = pyproject.title, pyproject.year, pyproject.arxiv
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
        title or pyproject.description,
        year,
        arxiv or None,
        verdicts,
        pins,
        summarise(folders[-1]) if folders else None,
        problem,
    )
