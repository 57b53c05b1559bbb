"""What a report says of a paper or project, read from its pyproject.toml, claims and results."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError
from research_data.errors import ResearchError
from research_train.claims import CLAIMS, Claim, read_claims
from research_train.claims_report import RESULTS
from research_train.members import Member
from research_viz import ClaimRow, with_interval

from research_cli.package_state import requirements_met

ARXIV = re.compile(r"\d{4}\.\d{4,5}(v\d+)?|[a-z-]+(\.[A-Z]{2})?/\d{7}")
VERDICTS = ("reproduced", "better", "known gap", "undecided", "not reproduced")
NO_EVIDENCE = "no evidence"


class Result(BaseModel):
    """A claim in results.json."""

    model_config = ConfigDict(extra="ignore")

    name: str
    published: FiniteFloat
    mean: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat]
    n: int
    verdict: Literal["reproduced", "better", "not reproduced", "undecided", "known gap"]
    runs: list[str] = []
    values: list[FiniteFloat] = []


class Results(BaseModel):
    """The content of results.json; fields that another version adds are passed over."""

    model_config = ConfigDict(extra="ignore")

    source: str = ""
    date: str = ""
    hardware: str = ""
    packages: str = ""
    claims: list[Result]


@dataclass(frozen=True)
class ClaimFacts:
    """A line of the table of claims, as it is shown. row: for the figure, where it can be drawn.

    metric: what it is about, None where claims.yaml no longer has the claim.
    """

    name: str
    what: str
    published: str
    reproduced: str
    seeds: int
    verdict: str
    note: str
    metric: str | None
    row: ClaimRow | None


@dataclass(frozen=True)
class MemberFacts:
    """A paper or project. pins: package -> as required, and what would run."""

    name: str
    kind: Literal["paper", "project"]
    title: str
    year: str
    authors: str
    arxiv: str
    description: str
    results: Results
    claims: list[ClaimFacts]
    pins: dict[str, tuple[str, str]]
    problems: list[str] = field(default_factory=list)

    @property
    def evidence(self) -> set[str]:
        """Ids of the runs that its claims rest on."""
        return {run for result in self.results.claims for run in result.runs}

    @property
    def verdicts(self) -> dict[str, int]:
        """How many claims have each verdict that occurs, the best first."""
        found = [claim.verdict for claim in self.claims]
        return {each: found.count(each) for each in (*VERDICTS, NO_EVIDENCE) if each in found}


def workspace_members(workspace: Path) -> list[Member]:
    """Papers, then projects, by name, installed or not."""
    return [
        Member(file.parent.name, f"{kind}-{file.parent.name}", file.parent, {})
        for kind in ("paper", "project")
        for file in sorted(workspace.glob(f"{kind}s/*/pyproject.toml"))
    ]


def member_facts(member: Member) -> MemberFacts:
    """All that is known of a paper or project; what can't be read is among its problems."""
    problems: list[str] = []
    project, research = _pyproject(member, problems)
    description = _text(project.get("description"))
    arxiv = _text(research.get("arxiv")).removeprefix("arXiv:").strip()
    if not arxiv and (found := re.search(rf"arXiv:? ?({ARXIV.pattern})", description)):
        arxiv = found[1]
    results = _results(member, problems)
    pins = {}
    try:
        for name, each in requirements_met(member).items():
            pins[name] = (str(each.requirement), str(each))
            if each.runs is None:
                problems.append(f"{member.name}: {each.requirement} is {each}")
    except ResearchError as error:
        problems.append(_placed(member, error))
    claims = list(_claims(member, results, problems))
    return MemberFacts(
        name=member.name,
        kind="project" if member.folder.parent.name == "projects" else "paper",
        title=_text(research.get("title")) or description.removesuffix(".") or member.name,
        year=_text(research.get("year")),
        authors=_text(research.get("authors")),
        arxiv=arxiv,
        description=description,
        results=results,
        claims=claims,
        pins=pins,
        problems=problems,
    )


def arxiv_link(identifier: str) -> str | None:
    """Where a paper lies on arXiv; None for what is no identifier of it."""
    return f"https://arxiv.org/abs/{identifier}" if ARXIV.fullmatch(identifier) else None


def _pyproject(
    member: Member, problems: list[str]
) -> tuple[Mapping[str, object], Mapping[str, object]]:
    """Its tables [project] and [tool.research]; empty where there are none."""
    file = member.folder / "pyproject.toml"
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"{member.name}/pyproject.toml: can't be read ({error})")
        return {}, {}
    tables = content.get("project", {}), content.get("tool", {}).get("research", {})
    return tables if all(isinstance(table, dict) for table in tables) else ({}, {})


def _results(member: Member, problems: list[str]) -> Results:
    file = member.folder / RESULTS
    try:
        return Results.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Results(claims=[])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its whole"
        reason = f"{where}: {first['msg']}"
    except (OSError, ValueError) as error:
        reason = str(error)
    problems.append(
        f"{member.name}/{RESULTS}: can't be read ({reason}); `reproduce` writes it anew"
    )
    return Results(claims=[])


def _claims(member: Member, results: Results, problems: list[str]) -> Iterable[ClaimFacts]:
    """Every claim of claims.yaml, then those that only the results have."""
    claims: dict[str, Claim] = {}
    if (member.folder / CLAIMS).is_file():
        try:
            claims = {claim.name: claim for claim in read_claims(member.folder).claims}
        except ResearchError as error:
            problems.append(_placed(member, error))
    found = {result.name: result for result in results.claims}
    for name in dict.fromkeys([*claims, *found]):
        yield _claim_facts(name, claims.get(name), found.get(name))


def _claim_facts(name: str, claim: Claim | None, result: Result | None) -> ClaimFacts:
    notes = []
    unit = f" {claim.unit}" if claim and claim.unit else ""
    published = claim.published if claim else result.published if result else 0.0
    shown = f"{published:g}{f' ± {claim.tolerance:g}' if claim else ''}{unit}"
    if claim and claim.known_gap:
        gap = claim.known_gap
        notes.append(f"known gap: {gap.value:g}{unit}. {gap.evidence}")
    if claim is None:
        notes.append(f"{CLAIMS} doesn't have it (any more)")
    elif result and result.published != claim.published:
        notes.append(f"judged against {result.published:g}: `reproduce` again")
    half = (result.interval[1] - result.interval[0]) / 2 if result and result.n > 1 else None
    row = None
    if claim and result:
        try:
            row = ClaimRow(
                name=name,
                published=claim.published,
                tolerance=claim.tolerance,
                mean=result.mean,
                interval=half,
                values=result.values,
                verdict=result.verdict,
                unit=claim.unit,
                known_gap=claim.known_gap.value if claim.known_gap else None,
            )
        except ValueError as error:
            notes.append(f"can't be drawn: {error}")
    return ClaimFacts(
        name=name,
        what=claim.what if claim else "",
        published=shown,
        reproduced=with_interval(result.mean, half) + unit if result else "",
        seeds=result.n if result else 0,
        verdict=result.verdict if result else NO_EVIDENCE,
        note="; ".join(notes),
        metric=claim.metric if claim else None,
        row=row,
    )


def _text(value: object) -> str:
    """A value of a pyproject.toml for people; a list in one line."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return " ".join(str(value).split()) if value is not None else ""


def _placed(member: Member, error: Exception) -> str:
    """An error with the member's name in place of where its folder lies on this machine."""
    return str(error).replace(str(member.folder), member.name)
