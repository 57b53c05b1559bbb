"""The rows of claims that tables and figures show: published, reproduced, verdict."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from research_train.claims.claim import Censored, Claim, Finding

if TYPE_CHECKING:
    from research_viz import ClaimRow

COLUMNS = ["claim", "published", "reproduced", "seeds", "verdict"]


def claims_rows(findings: Sequence[Finding]) -> list[list[str]]:
    """One row per claim, with COLUMNS."""
    return [
        [
            finding.claim.name,
            shown_published(finding.claim),
            _shown_mean(finding),
            str(finding.n),
            finding.verdict
            + (f" ({'; '.join(notes)})" if (notes := verdict_notes(finding)) else ""),
        ]
        for finding in findings
    ]


def verdict_notes(finding: Finding) -> list[str]:
    """The notes that are shown beside a verdict."""
    claim, words = finding.claim, []
    if finding.verdict == "known gap" and claim.known_gap:
        words.append(f"the authors' own code gives {claim.known_gap.value:g}")
    if finding.verdict == "undecided" and finding.n > 1 and not _is_censored(finding):
        more = finding.seeds_needed
        words.append(f"a new plan of about {more} seeds would decide" if more else "on the edge")
    return [*words, *finding.notes]


def _is_censored(finding: Finding) -> bool:
    return any(isinstance(value, Censored) for value in finding.values)


def _shown_mean(finding: Finding) -> str:
    from research_viz import with_ends, with_interval

    unit = f" {finding.claim.unit}" if finding.claim.unit else ""
    low, high = finding.interval
    if finding.mean is None or (math.isinf(low) and math.isinf(high)):
        return "not known"
    if math.isinf(high):
        return f"≥ {low:.6g}{unit}"
    if math.isinf(low):
        return f"≤ {high:.6g}{unit}"
    if finding.half_width is None:
        return with_interval(finding.mean, None) + unit
    return with_ends(finding.mean, low, high) + unit


def claim_row(finding: Finding) -> "ClaimRow":
    """The row of a finding in the figure. Raises ValueError for what can't be drawn."""
    from research_viz import ClaimRow

    claim = finding.claim
    side, published, tolerance = claim.side, claim.published, claim.tolerance or 0.0
    if claim.bound is not None:
        published = claim.bound
    elif claim.kind == "ordering":  # the sign alone counts
        side, published, tolerance = "above", 0.0, 0.0
    return ClaimRow(
        name=claim.name,
        published=published,
        tolerance=tolerance,
        mean=finding.mean,
        interval=finding.interval if finding.n > 1 or _is_censored(finding) else None,
        values=finding.known_values,
        verdict=finding.verdict,
        unit=claim.unit,
        known_gap=claim.known_gap.value if claim.known_gap else None,
        side=side,
        note="; ".join(finding.notes),
    )


def shown_published(claim: Claim) -> str:
    """What was published, for a table."""
    unit = f" {claim.unit}" if claim.unit else ""
    if claim.bound is not None and claim.side:
        of = f" ({claim.published:g})" if claim.published != claim.bound else ""
        return f"{claim.side.replace('_', ' ')} {claim.bound:g}{of}{unit}"
    if claim.kind == "ordering":  # the sign alone counts
        return f"above 0 ({claim.published:g}){unit}"
    return f"{claim.published:g} ± {claim.tolerance:g}{unit}"
