"""Write the tables, the figure and results.json of a reproduction.

assets/outputs/mnist1d/claims/claims.{json,md,tex,png,svg}    chosen.*, where it isn't all of it
papers/mnist1d/results.json     the same with every seed's value, committed
papers/mnist1d/README.md        the table, between its markers
"""

from pathlib import Path

from research_data import StorageError, get_outputs_dir
from research_data.durable import write_bytes, write_json

from research_train.evidence.reproduce import Reproduction
from research_train.results.readme import read_readme, readme_block
from research_train.results.recorded import RESULTS, evidence_of, results_of
from research_train.results.rows import COLUMNS, claim_row, claims_rows


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
        write_json(folder / f"{name}.json", evidence_of(reproduction))
        write_bytes(folder / f"{name}.md", table.encode())
        write_bytes(folder / f"{name}.tex", latex_table(COLUMNS, rows).encode())
        figures = save_figure(figure, folder / name)
    except OSError as error:
        raise StorageError(folder, error) from error
    if reproduction.incomplete is None:
        results = results_of(reproduction)
        # Read only now: somebody may have written in it while all this was made.
        readme = read_readme(member)
        content = readme.before + readme_block(rows, results) + readme.after
        write_json(member.folder / RESULTS, results)
        write_bytes(readme.path, content.encode())
    return [folder / f"{name}.json", *figures]
