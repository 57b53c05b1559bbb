"""Write the table of claims between its markers in a paper's README."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from research_train.claims.claim import Finding
from research_train.errors import ClaimsError
from research_train.experiment.members import Member
from research_train.results.costs import Cost
from research_train.results.rows import claims_table, shown_counts

BEGIN, END = "<!-- claims: written by `reproduce` -->", "<!-- /claims -->"


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


def readme_block(
    findings: Sequence[Finding], costs: Mapping[str, Cost], results: Mapping[str, object]
) -> str:
    """What stands between the markers of a README.

    costs: claim -> the cost of its evidence. results: the content of results.json.
    """
    from research_viz import markdown_table

    table = markdown_table(*claims_table(findings, costs))
    counts = shown_counts(Counter(finding.state for finding in findings))
    made = f" {results['date']}, on {results['hardware']}; {results['packages']}."
    return f"\n\n{table}\n{counts}.{made if results['hardware'] else ''}\n\n"
