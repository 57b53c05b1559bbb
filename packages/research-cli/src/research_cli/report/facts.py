"""Collect what a report says of a paper from its pyproject.toml, claims and results."""

import re
from dataclasses import dataclass, field
from typing import Literal

from research_data.errors import ResearchError
from research_train.claims.claim import CLAIMS, Claim, read_claims
from research_train.experiment.members import Member
from research_train.results.recorded import RESULTS, RecordedResults, read_results
from research_train.results.rows import (
    COLUMNS,
    claim_row,
    claims_rows,
    shown_published,
    verdict_notes,
)
from research_train.results.standing import NO_EVIDENCE, STALE, Standing, standings
from research_viz import ClaimRow

from research_cli.package.state import requirements_met
from research_cli.paper.names import ARXIV

VERDICTS = ("reproduced", "better", "known gap", "undecided", "not reproduced", STALE, NO_EVIDENCE)


@dataclass(frozen=True)
class ClaimFacts:
    """A line of the table of claims, as it is shown. row: for the figure, where it can be drawn.

    metrics: what it is about, none where claims.yaml no longer has the claim. verdict: of the
    recorded values by what claims.yaml says now; STALE where they can't be judged by it.
    """

    name: str
    what: str
    published: str
    reproduced: str
    seeds: int
    verdict: str
    note: str
    metrics: list[str]
    row: ClaimRow | None


@dataclass(frozen=True)
class MemberFacts:
    """A paper or project. pins: package -> as required, and what would run.

    place: its folder, `papers/mnist1d`. results: None where there are none that can be read.
    """

    name: str
    distribution: str
    place: str
    kind: Literal["paper", "project"]
    title: str
    year: str
    authors: str
    arxiv: str
    description: str
    results: RecordedResults | None
    claims: list[ClaimFacts]
    pins: dict[str, tuple[str, str]]
    problems: list[str] = field(default_factory=list)

    @property
    def evidence(self) -> set[str]:
        """Ids of the runs that its claims rest on."""
        claims = self.results.claims if self.results else []
        return {run for claim in claims for run in claim.runs}

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims have each verdict that occurs, the best first."""
        found = [claim.verdict for claim in self.claims]
        return {each: found.count(each) for each in VERDICTS if each in found}


def member_facts(member: Member) -> MemberFacts:
    """All that is known of a paper or project; what can't be read is among its problems."""
    problems: list[str] = []
    description = title = authors = arxiv = ""
    year = None
    try:
        pyproject = member.pyproject
        description = " ".join(pyproject.description.split())
        title, authors, year = pyproject.title, pyproject.authors, pyproject.year
        arxiv = pyproject.arxiv.removeprefix("arXiv:").strip()
    except ResearchError as error:
        problems.append(_placed(member, error))
    if not arxiv and (found := re.search(rf"arXiv:? ?({ARXIV.pattern})", description)):
        arxiv = found[1]
    results = None
    try:
        results = read_results(member)
    except ResearchError as error:
        problems.append(_placed(member, error))
    pins = {}
    try:
        for name, each in requirements_met(member).items():
            pins[name] = (str(each.requirement), str(each))
            if each.runs is None:
                problems.append(f"{member.name}: {each.requirement} is {each}")
    except ResearchError as error:
        problems.append(_placed(member, error))
    claims = list(map(_claim_facts, _standings(member, results, problems)))
    return MemberFacts(
        name=member.name,
        distribution=member.distribution,
        place=f"{member.folder.parent.name}/{member.folder.name}",
        kind="project" if member.folder.parent.name == "projects" else "paper",
        title=title or description.removesuffix(".") or member.name,
        year=str(year or ""),
        authors=authors,
        arxiv=arxiv,
        description=description,
        results=results,
        claims=claims,
        pins=pins,
        problems=list(dict.fromkeys(problems)),
    )


def arxiv_link(identifier: str) -> str | None:
    """Where a paper lies on arXiv; None for what is no identifier of it."""
    return f"https://arxiv.org/abs/{identifier}" if ARXIV.fullmatch(identifier) else None


def _standings(
    member: Member, results: RecordedResults | None, problems: list[str]
) -> list[Standing]:
    """The paper's claims; what makes their evidence doubtful is among the problems."""
    claims: list[Claim] = []
    if (member.folder / CLAIMS).is_file():
        try:
            claims = read_claims(member.folder).claims
        except ResearchError as error:
            problems.append(_placed(member, error))
            doubt = f"is held against no claim, as {CLAIMS} can't be read"
            recorded = results.claims if results else []
            return [Standing(each.name, None, each, None, [doubt]) for each in recorded]
    found = standings(claims, results)
    problems += [
        f"{member.name}/{RESULTS}: claim {each.name}: {doubt}; `reproduce` makes it again"
        for each in found
        if each.recorded
        for doubt in each.doubts
    ]
    return found


def _claim_facts(standing: Standing) -> ClaimFacts:
    claim, finding = standing.claim, standing.finding
    notes: list[str] = []
    cells = dict(zip(COLUMNS, claims_rows([finding])[0], strict=True)) if finding else {}
    if finding:  # a known gap is told in full below
        notes += finding.notes if finding.verdict == "known gap" else verdict_notes(finding)
    if claim and claim.known_gap:
        gap = claim.known_gap
        unit = f" {claim.unit}" if claim.unit else ""
        notes.append(f"known gap: {gap.value:g}{unit}. {gap.evidence}")
    if standing.recorded:
        notes += [f"{RESULTS} {doubt}" for doubt in standing.doubts]
    row = None
    if finding:
        try:
            row = claim_row(finding)
        except ValueError as error:
            notes.append(f"can't be drawn: {error}")
    return ClaimFacts(
        name=standing.name,
        what=claim.what if claim else "",
        published=shown_published(claim) if claim else "",
        reproduced=cells.get("reproduced", ""),
        seeds=finding.n if finding else 0,
        verdict=standing.verdict,
        note="; ".join(filter(None, notes)),
        metrics=claim.metrics if claim else [],
        row=row,
    )


def _placed(member: Member, error: Exception) -> str:
    """An error with the member's name in place of where its folder lies on this machine."""
    return str(error).replace(str(member.folder), member.name)
