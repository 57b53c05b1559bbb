"""Read what the files of a paper or project say: citation, requirements, claims and results."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from research_data.errors import ResearchError
from research_train.claims.claim import CLAIMS, Claim, read_claims
from research_train.experiment.members import Member
from research_train.experiment.workspace_members import kind_of
from research_train.results.recorded import RecordedResults, read_results
from research_train.results.standing import Standing, standings

from research_cli.package.requirements import RequirementMet, requirements_met

Fact = Literal[
    "description", "title", "year", "arxiv", "authors", "results", "requirements", "claims"
]
Value = TypeVar("Value")


@dataclass(frozen=True)
class PaperFacts:
    """A paper or project as its files say; nothing of it is imported.

    results: None where nothing was reproduced. requirements: internal package -> what it requires
    of it and would run. standings: its claims, and those that only results.json has, as they stand
    today. errors: each fact that can't be read, and is empty or None here, with the reason.
    """

    member: Member
    kind: str
    description: str
    title: str
    year: int | None
    arxiv: str
    authors: str
    results: RecordedResults | None
    requirements: dict[str, RequirementMet]
    standings: list[Standing]
    errors: dict[Fact, ResearchError]

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims are in each state that occurs, such as `scaled (reproduced)`."""
        return dict(Counter(standing.state for standing in self.standings))


def paper_facts(member: Member) -> PaperFacts:
    """All that the files of a paper or project say; what can't be read is among its errors."""
    errors: dict[Fact, ResearchError] = {}

    def read(fact: Fact, get: Callable[[], Value], otherwise: Value) -> Value:
        try:
            return get()
        except ResearchError as error:
            errors[fact] = error
            return otherwise

    # In the order in which a list or a report names what is wrong.
    description = read("description", lambda: member.pyproject.description, "")
    title = read("title", lambda: member.pyproject.title, "")
    year = read("year", lambda: member.pyproject.year, None)
    arxiv = read("arxiv", lambda: member.pyproject.arxiv, "")
    authors = read("authors", lambda: member.pyproject.authors, "")
    results = read("results", lambda: read_results(member), None)
    nothing: dict[str, RequirementMet] = {}
    requirements = read("requirements", lambda: requirements_met(member), nothing)
    claims: list[Claim] | None = []
    if results or (member.folder / CLAIMS).is_file():
        claims = read("claims", lambda: read_claims(member.folder).claims, None)
    return PaperFacts(
        member=member,
        kind=kind_of(member),
        description=description,
        title=title,
        year=year,
        arxiv=arxiv,
        authors=authors,
        results=results,
        requirements=requirements,
        standings=_standings(claims, results),
        errors=errors,
    )


def _standings(claims: list[Claim] | None, results: RecordedResults | None) -> list[Standing]:
    """claims: None where they can't be read."""
    if claims is not None:
        return standings(claims, results)
    doubt = f"can't be compared with its claim, since {CLAIMS} can't be read"
    recorded = results.claims if results else []
    return [Standing(each.name, None, each, None, [doubt]) for each in recorded]
