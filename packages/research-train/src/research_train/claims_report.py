"""What `reproduce` leaves behind: tables, a figure, and the evidence in numbers.

assets/outputs/mnist1d/claims/claims.{json,md,tex,png,svg}    chosen.*, where it isn't all of it
papers/mnist1d/results.json     the same with every seed's value, committed
papers/mnist1d/README.md        the table, between its markers
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from research_data import StorageError, get_outputs_dir
from research_data.durable import write_bytes, write_json

from research_train.claims import Claim, Finding
from research_train.errors import ClaimsError
from research_train.members import Member
from research_train.record import utc_now
from research_train.reproduce import Reproduction

if TYPE_CHECKING:
    from research_viz import ClaimRow

BEGIN, END = "<!-- claims: written by `reproduce` -->", "<!-- /claims -->"
RESULTS = "results.json"
COLUMNS = ["claim", "published", "reproduced", "seeds", "verdict"]


def claims_rows(findings: Sequence[Finding]) -> list[list[str]]:
    """One row a claim, of COLUMNS."""
    from research_viz import with_interval

    rows = []
    for finding in findings:
        claim = finding.claim
        unit = f" {claim.unit}" if claim.unit else ""
        verdict: str = finding.verdict
        if finding.verdict == "known gap" and claim.known_gap:
            verdict += f" (the authors' own code gives {claim.known_gap.value:g})"
        if finding.verdict == "undecided":
            more = finding.seeds_needed
            verdict += f" (about {more} seeds would decide)" if more else " (on the edge)"
        rows.append(
            [
                claim.name,
                shown_published(claim),
                with_interval(finding.mean, finding.half_width) + unit,
                str(len(finding.values)),
                verdict,
            ]
        )
    return rows


def claim_row(finding: Finding) -> "ClaimRow":
    """The row of a finding in the figure. Raises ValueError for what can't be drawn."""
    from research_viz import ClaimRow

    claim = finding.claim
    return ClaimRow(
        name=claim.name,
        published=claim.published,
        tolerance=claim.tolerance,
        mean=finding.mean,
        interval=finding.half_width,
        values=finding.values,
        verdict=finding.verdict,
        unit=claim.unit,
        known_gap=claim.known_gap.value if claim.known_gap else None,
    )


def shown_published(claim: Claim) -> str:
    """What was published, for a table."""
    unit = f" {claim.unit}" if claim.unit else ""
    if claim.kind == "ordering":  # the sign alone counts
        return f"above 0 ({claim.published:g}){unit}"
    return f"{claim.published:g} ± {claim.tolerance:g}{unit}"


class Readme(NamedTuple):
    """A paper's README: what stands between the markers, and the text around, markers included."""

    path: Path
    before: str
    block: str
    after: str


def read_readme(member: Member) -> Readme:
    """A paper's README. Raises ClaimsError where it has no place for the table, or isn't UTF-8."""
    path = member.folder / "README.md"
    try:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise ClaimsError(
            f"{path}: isn't UTF-8, from byte {error.start} on. Save it as UTF-8"
        ) from error
    before, begin, rest = text.partition(BEGIN)
    block, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest:
        raise ClaimsError(f"{path}: has no place for the table. Add the lines\n{BEGIN}\n{END}")
    return Readme(path, before + begin, block, end + after)


def readme_block(findings: Sequence[Finding], results: Mapping[str, object]) -> str:
    """What stands between the markers of a README. results: the content of results.json."""
    from research_viz import markdown_table

    table = markdown_table(COLUMNS, claims_rows(findings))
    facts = f"{results['date']}, on {results['hardware']}; {results['packages']}."
    return f"\n\n{table}\n{facts}\n\n"


def write_report(reproduction: Reproduction) -> list[Path]:
    """Write all of it; returns the files. Raises ClaimsError for a README without markers.

    What is not the paper's whole account (some claims, fewer seeds, runs that failed) is written as
    `chosen.*` and leaves the paper's folder alone. A smoke test (`--quick`) is no evidence: nothing
    is written.
    """
    if reproduction.quick or not reproduction.findings:
        return []
    from research_viz import claim_plot, latex_table, markdown_table, save_figure

    member, findings = reproduction.member, reproduction.findings
    name = "chosen" if reproduction.incomplete else "claims"
    folder = get_outputs_dir() / member.name / "claims"
    rows = claims_rows(findings)
    table = markdown_table(COLUMNS, rows)
    figure = claim_plot([claim_row(finding) for finding in findings])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{name}.json", _evidence(reproduction))
        write_bytes(folder / f"{name}.md", table.encode())
        write_bytes(folder / f"{name}.tex", latex_table(COLUMNS, rows).encode())
        figures = save_figure(figure, folder / name)
    except OSError as error:
        raise StorageError(folder, error) from error
    results: dict[str, object] = {
        "schema": 1,
        "source": reproduction.claims.source,
        "date": _date(reproduction),
        "hardware": _hardware(reproduction),
        "packages": _packages(reproduction),
        "claims": [
            {**evidence, "values": finding.values}
            for evidence, finding in zip(_evidence(reproduction), findings, strict=True)
        ],
    }
    if reproduction.carried:
        results["carried"] = [
            {
                "setting": " ".join([each.experiment, *each.overrides]),
                "from": each.origin,
                "to": each.fingerprint,
                "run": each.run,
                "replayed": each.replayed,
            }
            for each in reproduction.carried
        ]
    if reproduction.incomplete is None:
        # Read only now: somebody may have written in it while all this was made.
        readme = read_readme(member)
        content = readme.before + readme_block(findings, results) + readme.after
        write_json(member.folder / RESULTS, results)
        write_bytes(readme.path, content.encode())
    return [folder / f"{name}.json", *figures]


def _evidence(reproduction: Reproduction) -> list[dict[str, object]]:
    return [
        {
            "name": finding.claim.name,
            "published": finding.claim.published,
            "mean": finding.mean,
            "interval": list(finding.interval),
            "n": len(finding.values),
            "verdict": finding.verdict,
            "runs": [run.id for run in reproduction.runs[finding.claim.name]],
        }
        for finding in reproduction.findings
    ]


def _date(reproduction: Reproduction) -> str:
    """The day on which the newest of the runs ended: the same evidence gives the same files."""
    ends = [
        run.record.ended or run.record.started
        for found in reproduction.runs.values()
        for run in found
        if run.record
    ]
    return max(ends)[:10] if ends else utc_now()[:10]


def _hardware(reproduction: Reproduction) -> str:
    names = dict.fromkeys(
        run.record.environment.gpu or run.record.environment.cpu
        for found in reproduction.runs.values()
        for run in found
        if run.record
    )
    return ", ".join(str(name) for name in names)


def _packages(reproduction: Reproduction) -> str:
    shown = dict.fromkeys(
        f"{name} {version}"
        for found in reproduction.runs.values()
        for run in found
        if run.record
        for name, version in run.record.packages.items()
        if name == "torch" or name.startswith("research-")
    )
    return ", ".join(shown)
