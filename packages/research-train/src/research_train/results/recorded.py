"""Read a paper's results.json and judge its recorded values again."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel, Field, FiniteFloat, ValidationError, model_validator
from research_data.errors import ResearchError
from research_data.shown import counted

from research_train.claims.claim import (
    Censored,
    Claim,
    Finding,
    Number,
    SeedValue,
    Verdict,
    judge,
)
from research_train.errors import ClaimsError
from research_train.experiment.members import Member

RESULTS = "results.json"
NO_EVIDENCE = "no evidence"
STALE = "stale"


class RecordedEnds(BaseModel):
    """A number that is only known to lie between two ends; None for an unknown end."""

    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None


class RecordedSet(BaseModel):
    """When a claim was set, against its runs."""

    after_runs: int = 0


RecordedNumber = FiniteFloat | RecordedEnds


class RecordedClaim(BaseModel):
    """A claim in results.json; old files lack the fields that have a default.

    values: one per seed. steps: for an ordering, the values of every step. interval: its two ends,
    None for an infinite one. n: how many seeds.
    """

    name: str
    published: FiniteFloat
    mean: FiniteFloat | None
    interval: tuple[FiniteFloat | None, FiniteFloat | None]
    n: int
    verdict: Verdict
    notes: list[str] = []
    runs: list[str]
    values: list[RecordedNumber]
    steps: dict[str, list[RecordedNumber]] = {}
    set_at: RecordedSet | None = Field(None, alias="set")

    @property
    def seed_values(self) -> list[SeedValue]:
        """The numbers of each seed, as `judge` takes them."""
        if self.steps:
            return list(zip(*(map(_number, step) for step in self.steps.values()), strict=True))
        return list(map(_number, self.values))


class RecordedResults(BaseModel):
    """The content of results.json; fields that another version adds are ignored."""

    source: str
    date: str
    hardware: str
    packages: str
    claims: list[RecordedClaim]

    @model_validator(mode="after")
    def _names_differ(self) -> "RecordedResults":
        names = [claim.name for claim in self.claims]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two claims are named {twice[0]!r}")
        return self


@dataclass(frozen=True)
class Standing:
    """A claim as it stands today.

    claim: None if claims.yaml no longer makes it. recorded: None without evidence. finding: the
    recorded values as judged by the present claims.yaml; None if they can't be. doubts: how
    results.json differs from that, each as a sentence whose subject is the claim.
    """

    name: str
    claim: Claim | None
    recorded: RecordedClaim | None
    finding: Finding | None = None
    doubts: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """A verdict, NO_EVIDENCE or STALE."""
        if self.recorded is None:
            return NO_EVIDENCE
        return self.finding.verdict if self.finding else STALE


def read_results(member: Member) -> RecordedResults | None:
    """A paper's results.json; None where nothing was reproduced. Raises ResearchError."""
    file = member.folder / RESULTS
    try:
        return RecordedResults.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'the whole file'}: {first['msg']}"
    except OSError as error:
        reason = str(error.strerror)
    raise ResearchError(
        f"{file}: can't be read ({reason}). `git checkout` brings it back, and `reproduce` writes "
        "it again."
    )


def standings(claims: Iterable[Claim], results: RecordedResults | None) -> list[Standing]:
    """Every claim of claims.yaml, then those that only the results have."""
    made = {claim.name: claim for claim in claims}
    recorded = {each.name: each for each in results.claims} if results else {}
    return [
        _standing(name, made.get(name), recorded.get(name))
        for name in dict.fromkeys([*made, *recorded])
    ]


def _standing(name: str, claim: Claim | None, recorded: RecordedClaim | None) -> Standing:
    if recorded is None:
        return Standing(name, claim, None, None, ["is one of claims.yaml, with nothing on it here"])
    if claim is None:
        return Standing(name, None, recorded, None, ["is none of claims.yaml"])
    doubts = []
    if claim.published != recorded.published:
        doubts.append(
            f"was judged by {recorded.published:g} as published, and claims.yaml says "
            f"{claim.published:g}"
        )
    count = len(recorded.values)
    if count not in claim.planned:
        planned = " or ".join(map(str, claim.planned))
        doubts.append(f"has values of {counted(count, 'seed')}, and claims.yaml asks for {planned}")
    finding = None
    try:
        set_after = recorded.set_at.after_runs if recorded.set_at else None
        finding = judge(claim, recorded.seed_values, set_after)
    except (ClaimsError, OverflowError, ValueError) as error:
        if not doubts:
            doubts.append(f"has values that can't be judged: {error}")
    if finding and (differing := list(_differing(recorded, finding))):
        says, gives = zip(*differing, strict=True)
        doubts.append(f"says {', '.join(says)}; its values give {', '.join(gives)}")
    return Standing(name, claim, recorded, finding, doubts)


def _differing(recorded: RecordedClaim, finding: Finding) -> Iterator[tuple[str, str]]:
    """Each recorded result that differs from what the recorded values give: both as text."""
    scale = max(map(abs, finding.known_values), default=0.0)

    def same(one: float | None, other: float | None) -> bool:  # another SciPy may round differently
        if one is None or other is None or math.isinf(one) or math.isinf(other):
            return one == other
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9 * scale)

    if recorded.n != finding.n:
        yield f"n {recorded.n}", f"n {finding.n}"
    if not same(recorded.mean, finding.mean):
        yield f"mean {_shown(recorded.mean)}", f"mean {_shown(finding.mean)}"
    low, high = recorded.interval
    then = (-math.inf if low is None else low, math.inf if high is None else high)
    if not all(map(same, then, finding.interval)):
        yield (
            f"interval {' to '.join(map(_shown, then))}",
            " to ".join(map(_shown, finding.interval)),
        )
    if recorded.verdict != finding.verdict and finding.claim.published == recorded.published:
        yield recorded.verdict, f"{finding.verdict} by what claims.yaml says now"


def _number(recorded: RecordedNumber) -> Number:
    if not isinstance(recorded, RecordedEnds):
        return recorded
    low, high = recorded.at_least, recorded.at_most
    return Censored(-math.inf if low is None else low, math.inf if high is None else high)


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.10g}"
