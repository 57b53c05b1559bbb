"""Write the tables, the figure and results.json of a reproduction.

assets/outputs/mnist1d/claims/claims.{json,md,tex,png,svg}    chosen.*, where it isn't all of it
papers/mnist1d/results.json     the same with every seed's value, committed
papers/mnist1d/README.md        the table, between its markers

The workspace's README.md, which counts the claims of all papers, is written after it (overview.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from research_data import StorageError, get_outputs_dir
from research_data.durable import write_bytes, write_json

from research_train.claims.claim import Finding
from research_train.evidence.reproduce import Reproduction
from research_train.results.costs import Cost
from research_train.results.readme import read_readme, readme_block
from research_train.results.recorded import RESULTS, evidence_of, results_of
from research_train.results.rows import claim_row, claims_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(reproduction: Reproduction, costs: Mapping[str, Cost]) -> list[Path]:
    """Write all of it; returns the files. Raises ClaimsError for a README without markers.

    reproduction: with what is kept of earlier results (kept.py). costs: those of `costs_of`.

    An incomplete reproduction (only some claims, fewer seeds, failed runs) is written as
    `chosen.*`, and the paper's folder is left alone. A smoke test (`--quick`) is no evidence:
    nothing is written.
    """
    if reproduction.quick or not reproduction.findings:
        return []
    from research_viz import latex_table, markdown_table

    member, findings = reproduction.member, reproduction.findings
    name = "chosen" if reproduction.incomplete else "claims"
    folder = get_outputs_dir() / member.name / "claims"
    columns, rows = claims_table(findings, costs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{name}.json", evidence_of(reproduction))
        write_bytes(folder / f"{name}.md", markdown_table(columns, rows).encode())
        write_bytes(folder / f"{name}.tex", latex_table(columns, rows).encode())
        figures = _figures(findings, folder / name)
    except OSError as error:
        raise StorageError(folder, error) from error
    if reproduction.incomplete is None:
        results = results_of(reproduction, costs)
        # Read just before it is written, because somebody may have edited it meanwhile.
        readme = read_readme(member)
        content = readme.before + readme_block(findings, costs, results) + readme.after
        write_json(member.folder / RESULTS, results)
        write_bytes(readme.path, content.encode())
    return [folder / f"{name}.json", *figures]


def _figures(findings: Sequence[Finding], stem: Path) -> list[Path]:
    from research_viz import draw_once

    def draw() -> "Figure":
        from research_viz import claim_plot

        return claim_plot([claim_row(finding) for finding in findings])

    return draw_once(stem, findings, draw)
