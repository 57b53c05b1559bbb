"""The rows of claims that tables and figures show: published, reproduced, verdict."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from research_data.shown import shown_duration

from research_train.claims.claim import Censored, Claim, Finding
from research_train.results.costs import Cost

if TYPE_CHECKING:
    from research_viz import ClaimRow

COLUMNS = ["claim", "published", "reproduced", "seeds", "verdict"]
COST_COLUMNS = ["parameters", "a run", "in all", "runs tried"]
# In the order in which they are counted; those at a smaller scale and others follow.
STATES = ("reproduced", "better", "known gap", "undecided", "not reproduced")
NOTHING = "—"  # where older results don't say, or a claim has no runs


def claims_table(
    findings: Sequence[Finding], costs: Mapping[str, Cost]
) -> tuple[list[str], list[list[str]]]:
    """The columns and rows of a table of claims. costs: claim -> the cost of its evidence.

    A column of costs that would be empty in every row is left out.
    """
    rows = claims_rows(findings)
    shown = [cost_cells(costs.get(finding.claim.name)) for finding in findings]
    used = [
        number
        for number in range(len(COST_COLUMNS))
        if any(cells[number] != NOTHING for cells in shown)
    ]
    return (
        [*COLUMNS, *(COST_COLUMNS[number] for number in used)],
        [
            [*row, *(cells[number] for number in used)]
            for row, cells in zip(rows, shown, strict=True)
        ],
    )


def claims_rows(findings: Sequence[Finding]) -> list[list[str]]:
    """One row per claim, with COLUMNS."""
    return [
        [
            finding.claim.name,
            shown_published(finding.claim),
            _shown_mean(finding),
            str(finding.n or NOTHING),
            _shown_verdict(finding),
        ]
        for finding in findings
    ]


def cost_cells(cost: Cost | None) -> list[str]:
    """What a claim's evidence cost, with COST_COLUMNS."""
    if cost is None:
        return [NOTHING] * len(COST_COLUMNS)
    counts = dict.fromkeys(f"{count:,}" for count in cost.parameters[:1] + cost.parameters[-1:])
    return [
        " to ".join(counts) or NOTHING,
        NOTHING if cost.run_seconds is None else shown_duration(cost.run_seconds),
        NOTHING if cost.seconds is None else shown_duration(cost.seconds),
        NOTHING if cost.tried is None else f"{cost.tried:,}",
    ]


def shown_counts(counts: Mapping[str, int]) -> str:
    """How many claims are in each state: `4 reproduced, 1 scaled (reproduced), 2 awaiting`."""
    order = [each for each in STATES if each in counts]
    order += [each for each in counts if each not in order]
    return ", ".join(f"{counts[state]} {state}" for state in order)


def _shown_verdict(finding: Finding) -> str:
    scale = [finding.claim.scale] if finding.claim.scale and finding.verdict != "awaiting" else []
    notes = "; ".join([*scale, *verdict_notes(finding)])
    if not notes:
        return finding.verdict
    if scale:
        return f"{finding.state.removesuffix(')')}; {notes})"
    return f"{finding.verdict} ({notes})"


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

    if finding.verdict == "awaiting":
        return NOTHING
    low, high = finding.interval
    if finding.n == 1 and finding.mean is not None and low == high:
        shown = with_interval(finding.mean, None)
    else:
        shown = with_ends(finding.mean, low, high)
    known = finding.mean is not None and (math.isfinite(low) or math.isfinite(high))
    return f"{shown} {finding.claim.unit}" if known and finding.claim.unit else shown


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
        note="; ".join([*([f"scaled: {claim.scale}"] if claim.scale else []), *finding.notes]),
    )


def shown_published(claim: Claim) -> str:
    """What was published, for a table."""
    from research_viz import with_interval

    unit = f" {claim.unit}" if claim.unit else ""
    if claim.bound is not None and claim.side:
        of = f" ({claim.published:g})" if claim.published != claim.bound else ""
        return f"{claim.side_words} {claim.bound:g}{of}{unit}"
    if claim.kind == "ordering":  # the sign alone counts
        return f"above 0 ({claim.published:g}){unit}"
    return f"{with_interval(claim.published, None)} ± {claim.tolerance:g}{unit}"
