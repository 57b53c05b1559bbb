"""results.json of a paper: what `reproduce` recorded, and what its values give today."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import BaseModel, FiniteFloat, ValidationError, model_validator
from research_data.errors import ResearchError
from research_train.claims import Claim, Finding, Verdict, judge
from research_train.claims_report import RESULTS
from research_train.errors import ClaimsError
from research_train.members import Member

NO_EVIDENCE = "no evidence"
STALE = "stale"


class RecordedClaim(BaseModel):
    """A claim in results.json. values: of each seed; interval: both ends; n: how many seeds."""

    name: str
    published: FiniteFloat
    mean: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat]
    n: int
    verdict: Verdict
    runs: list[str]
    values: list[FiniteFloat]


class RecordedResults(BaseModel):
    """The content of results.json; fields that another version adds are passed over."""

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

    claim: None where claims.yaml no longer makes it. recorded: None without evidence. finding: what
    the recorded values give by what claims.yaml says now; None where they can't be judged by it.
    doubts: how results.json differs from that, each the rest of a sentence.
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
        reason = f"{'.'.join(map(str, first['loc'])) or 'its whole'}: {first['msg']}"
    except OSError as error:
        reason = str(error.strerror)
    raise ResearchError(
        f"{file}: can't be read ({reason}). `git checkout` brings it back, and `reproduce` makes "
        "it anew."
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
    if count < claim.seeds:
        seeds = f"{count} seed{'' if count == 1 else 's'}"
        doubts.append(f"has values of {seeds}, and claims.yaml asks for {claim.seeds}")
    finding = None
    try:
        finding = judge(claim, recorded.values)
    except (ClaimsError, OverflowError) as error:
        if not doubts:
            doubts.append(f"has values that can't be judged: {error}")
    if finding and (differing := list(_differing(recorded, finding))):
        says, gives = zip(*differing, strict=True)
        doubts.append(f"says {', '.join(says)}; its values give {', '.join(gives)}")
    return Standing(name, claim, recorded, finding, doubts)


def _differing(recorded: RecordedClaim, finding: Finding) -> Iterator[tuple[str, str]]:
    """What is recorded otherwise than the values give: both as text."""
    scale = max(map(abs, recorded.values))

    def same(one: float, other: float) -> bool:  # another SciPy may round otherwise
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9 * scale)

    if recorded.n != len(recorded.values):
        yield f"n {recorded.n}", f"n {len(recorded.values)}"
    if not same(recorded.mean, finding.mean):
        yield f"mean {recorded.mean:.10g}", f"mean {finding.mean:.10g}"
    if not all(map(same, recorded.interval, finding.interval)):
        (low, high), (now_low, now_high) = recorded.interval, finding.interval
        yield f"interval {low:.10g} to {high:.10g}", f"{now_low:.10g} to {now_high:.10g}"
    if recorded.verdict != finding.verdict and finding.claim.published == recorded.published:
        yield recorded.verdict, f"{finding.verdict} by what claims.yaml says now"
