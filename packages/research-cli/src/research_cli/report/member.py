"""What a report shows of a paper or project, in words and numbers."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from research_data.shown import counted
from research_train.claims.claim import Claim
from research_train.experiment.members import Member
from research_train.results.costs import Cost
from research_train.results.recorded import RESULTS, RecordedResults
from research_train.results.rows import (
    COLUMNS,
    NOTHING,
    STATES,
    claim_row,
    claims_rows,
    cost_cells,
    shown_published,
    verdict_notes,
)
from research_train.results.standing import NO_EVIDENCE, STALE, Standing
from research_viz import ClaimRow

from research_cli.paper.facts import PaperFacts, paper_facts
from research_cli.paper.names import ARXIV
from research_cli.report.readme import Picture, first_picture, readme_text, what_it_says

MOST_CLAIMS = 6  # at a glance; one more is shown rather than counted
VERDICTS = (*STATES, "awaiting", STALE, NO_EVIDENCE)


@dataclass(frozen=True)
class ShownClaim:
    """A line of the table of claims, as it is shown. row: for the figure, where it can be drawn.

    metrics: what it is about, none where claims.yaml no longer has the claim. verdict: of the
    recorded values by what claims.yaml says now; STALE where they can't be judged by it. state: the
    verdict as it is counted. source: page and quote of the published number. cost: of its
    evidence.
    """

    name: str
    what: str
    published: str
    reproduced: str
    seeds: int
    verdict: str
    state: str
    note: str
    source: str
    cost: str
    metrics: list[str]
    row: ClaimRow | None


@dataclass(frozen=True)
class ShownMember:
    """A paper or project, as it is shown.

    place: its folder, `papers/mnist1d`. results: None where there are none that can be read.
    verdicts: how many claims have each that occurs, the best first. pins: package -> as required,
    and what would run. says: what the paper says, in a sentence or two. picture: of its README.
    cost: of all its evidence.
    """

    name: str
    distribution: str
    place: str
    kind: str
    title: str
    year: str
    authors: str
    arxiv: str
    description: str
    results: RecordedResults | None
    claims: list[ShownClaim]
    verdicts: dict[str, int]
    pins: dict[str, tuple[str, str]]
    says: str
    picture: Picture | None
    cost: str
    problems: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """What makes its claims, or trains it where it makes none."""
        return f"uv run --package {self.distribution} {'reproduce' if self.claims else 'train'}"

    @property
    def first_claims(self) -> list[ShownClaim]:
        """The claims for a glance at it: in their order, those with a number of ours first."""
        ordered = sorted(self.claims, key=lambda claim: claim.reproduced in ("", NOTHING))
        return ordered if len(ordered) <= MOST_CLAIMS + 1 else ordered[:MOST_CLAIMS]

    @property
    def evidence(self) -> set[str]:
        """Ids of the runs that its claims rest on."""
        claims = self.results.claims if self.results else []
        return {run for claim in claims for run in claim.runs}


def shown_member(member: Member) -> ShownMember:
    """What the page says of a paper or project; what can't be read is among its problems."""
    facts = paper_facts(member)
    description, readme = " ".join(facts.description.split()), readme_text(member.folder)
    arxiv = facts.arxiv.removeprefix("arXiv:").strip()
    if not arxiv and (found := re.search(rf"arXiv:? ?({ARXIV.pattern})", description)):
        arxiv = found[1]
    return ShownMember(
        name=member.name,
        distribution=member.distribution,
        place=f"{member.folder.parent.name}/{member.folder.name}",
        kind=facts.kind,
        title=facts.title or description.removesuffix(".") or member.name,
        year=str(facts.year or ""),
        authors=facts.authors,
        arxiv=arxiv,
        description=description,
        results=facts.results,
        claims=list(map(_shown_claim, facts.standings)),
        verdicts=ordered(facts.verdicts),
        pins={
            name: (str(each.requirement), str(each)) for name, each in facts.requirements.items()
        },
        says=what_it_says(readme) or description,
        picture=first_picture(member.folder, readme),
        cost=_whole_cost(facts.results),
        problems=list(dict.fromkeys(_problems(facts))),
    )


def arxiv_link(identifier: str) -> str | None:
    """Where a paper lies on arXiv; None for what is no identifier of it."""
    return f"https://arxiv.org/abs/{identifier}" if ARXIV.fullmatch(identifier) else None


def _problems(facts: PaperFacts) -> Iterator[str]:
    """What can't be read, what can't run, and what makes the evidence doubtful."""
    member = facts.member
    for error in facts.errors.values():  # as seen from the workspace, wherever that lies
        yield str(error).replace(str(member.folder), member.name)
    for each in facts.requirements.values():
        if each.runs is None:
            yield f"{member.name}: {each.requirement} is {each}"
    if "claims" in facts.errors:
        return
    for standing in facts.standings:
        for doubt in standing.doubts if standing.recorded else ():
            where = f"{member.name}/{RESULTS}: claim {standing.name}"
            yield f"{where}: {doubt}; `reproduce` makes it again"


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of states, the best first; states at a smaller scale stand before what awaits."""
    order = [each for each in STATES if each in counts]
    order += [each for each in counts if each not in VERDICTS]
    order += [each for each in VERDICTS if each in counts and each not in order]
    return {each: counts[each] for each in order}


def _shown_claim(standing: Standing) -> ShownClaim:
    claim, finding = standing.claim, standing.finding
    notes: list[str] = []
    cells = dict(zip(COLUMNS, claims_rows([finding])[0], strict=True)) if finding else {}
    if finding:  # a known gap is told in full below
        notes += finding.notes if finding.verdict == "known gap" else verdict_notes(finding)
    if claim and claim.scale:
        notes.insert(0, f"at a smaller scale: {claim.scale}")
    if claim and claim.awaiting:
        notes.append(f"hours measured: {claim.awaiting.measured}")
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
    return ShownClaim(
        name=standing.name,
        what=claim.what if claim else "",
        published=shown_published(claim) if claim else "",
        reproduced=cells.get("reproduced", ""),
        seeds=finding.n if finding else 0,
        verdict=standing.verdict,
        state=standing.state,
        note="; ".join(filter(None, notes)),
        source=_source(claim),
        cost=_cost(standing.recorded.cost if standing.recorded else None),
        metrics=claim.metrics if claim else [],
        row=row,
    )


def _cost(cost: Cost | None) -> str:
    """What a claim's evidence cost; a dash where nothing says so."""
    parameters, run, all_runs, tried = cost_cells(cost)
    words = [
        (parameters, "parameters"),
        (run, "a run"),
        (all_runs, "in all"),
        (tried, "runs tried"),
    ]
    return ", ".join(f"{cell} {what}" for cell, what in words if cell != NOTHING) or NOTHING


def _whole_cost(results: RecordedResults | None) -> str:
    """What all evidence of a paper cost: `18 min in 25 runs`; empty where there is none."""
    runs, seconds = results.together if results else (0, None)
    if not runs:
        return ""
    return (
        f"{counted(runs, 'run')}"
        if seconds is None
        else f"{_time(seconds)} in {counted(runs, 'run')}"
    )


def _time(seconds: float) -> str:
    """`8 s`, `18 min`, `3 h 5 min`, `4 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{round(minutes / 60 / 24)} days"


def _source(claim: Claim | None) -> str:
    """Where the published number stands: `page 7: "8.75"`."""
    page = f"page {claim.page}" if claim and claim.page else ""
    quote = f"“{claim.quote}”" if claim and claim.quote else ""
    return ": ".join(filter(None, [page, quote]))
