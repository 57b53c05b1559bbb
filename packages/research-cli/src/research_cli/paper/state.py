"""The state of each paper and project: its versions, its results and its last run."""

from dataclasses import dataclass
from pathlib import Path

from research_train.experiment.members import Member
from research_train.experiment.workspace_members import TRAINABLE, workspace_members
from research_train.record.folders import run_folders
from research_train.record.summary import summarise

from research_cli.package.requirements import RequirementMet
from research_cli.paper.facts import paper_facts


@dataclass(frozen=True)
class LastRun:
    """The newest run of a paper. started: UTC, in ISO 8601."""

    id: str
    started: str
    status: str


@dataclass(frozen=True)
class PaperState:
    """A paper or project in the list, and in its JSON; nothing of it is imported.

    title: of [tool.research], or else the description. verdicts: how many claims have each, judging
    the values in results.json by the present claims.yaml; None where nothing was reproduced. pins:
    the versions of our packages that it requires, and those that run. problem: what can't be read.
    """

    name: str
    kind: str
    distribution: str
    folder: Path
    title: str
    year: int | None
    arxiv: str | None
    experiments: list[str]
    verdicts: dict[str, int] | None
    pins: list[RequirementMet]
    last_run: LastRun | None
    problem: str | None


def papers(workspace: Path) -> list[PaperState]:
    """Every paper, then every project, by name.

    Raises ResearchError for a pyproject.toml that can't be read.
    """
    return [_state(member) for member in workspace_members(workspace, TRAINABLE)]


def _state(member: Member) -> PaperState:
    facts = paper_facts(member)
    judged = facts.results is not None and "claims" not in facts.errors
    return PaperState(
        name=member.name,
        kind=facts.kind,
        distribution=member.distribution,
        folder=member.folder,
        title=facts.title or facts.description,
        year=facts.year,
        arxiv=facts.arxiv or None,
        experiments=sorted(member.experiments),
        verdicts=facts.verdicts if judged else None,
        pins=[each for each in facts.requirements.values() if each.requirement.specifier],
        last_run=_last_run(member),
        problem=next(map(str, facts.errors.values()), None),
    )


def _last_run(member: Member) -> LastRun | None:
    folders = run_folders(member.name)
    if not folders:
        return None
    last = summarise(folders[-1])
    return LastRun(last.id, last.started, last.status)
