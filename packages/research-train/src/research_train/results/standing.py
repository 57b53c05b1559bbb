"""Judge a paper's recorded values again, by what its claims.yaml says now."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from research_data.shown import counted

from research_train.claims.claim import Claim, Finding, await_hardware, judge, with_set_after
from research_train.errors import ClaimsError
from research_train.results.recorded import RecordedClaim, RecordedResults

NO_EVIDENCE = "no evidence"
STALE = "stale"


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
        if self.finding:
            return self.finding.verdict
        return NO_EVIDENCE if self.recorded is None else STALE

    @property
    def state(self) -> str:
        """The verdict as it is counted: one at a smaller scale is never among the reproduced."""
        return self.finding.state if self.finding else self.verdict


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
        finding = await_hardware(claim) if claim and claim.awaiting else None
        doubt = "is in claims.yaml, but not here"
        return Standing(name, claim, None, finding, [doubt])
    if claim is None:
        return Standing(name, None, recorded, None, ["is not in claims.yaml"])
    if recorded.verdict == "awaiting":
        return _awaiting(claim, recorded)
    doubts = []
    if claim.published != recorded.published:
        doubts.append(
            f"was judged by the published {recorded.published:g}, but claims.yaml says "
            f"{claim.published:g}"
        )
    if claim.scale != recorded.scale:
        doubts.append(f"has the scale {recorded.scale!r}, but claims.yaml says {claim.scale!r}")
    count = len(recorded.values)
    if count not in claim.planned:
        planned = " or ".join(map(str, claim.planned))
        doubts.append(f"has values of {counted(count, 'seed')}, but claims.yaml asks for {planned}")
    finding = None
    try:
        set_after = recorded.set_at.after_runs if recorded.set_at else None
        finding = judge(claim, recorded.seed_values, set_after)
        if recorded.kept:
            finding = replace(finding, notes=(*finding.notes, f"kept: {recorded.kept}"))
    except (ClaimsError, OverflowError, ValueError) as error:
        if not doubts:
            doubts.append(f"has values that can't be judged: {error}")
    if finding and (differing := list(_differing(recorded, finding))):
        says, gives = zip(*differing, strict=True)
        doubts.append(f"says {', '.join(says)}; its values give {', '.join(gives)}")
    return Standing(name, claim, recorded, finding, doubts)


def _awaiting(claim: Claim, recorded: RecordedClaim) -> Standing:
    """A claim whose hardware was not where the results were made."""
    if claim.awaiting is None:
        doubt = "awaits hardware here, but not in claims.yaml"
        return Standing(claim.name, claim, recorded, None, [doubt])
    finding = await_hardware(claim)
    set_after = recorded.set_at.after_runs if recorded.set_at else None
    return Standing(
        claim.name,
        claim,
        recorded,
        replace(finding, notes=with_set_after(finding.notes, set_after)),
    )


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


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.10g}"
