"""Count the states of all papers' claims, in a table of the workspace's README."""

from collections import Counter
from pathlib import Path

from research_data.durable import write_bytes
from research_data.errors import ResearchError

from research_train.claims.claim import CLAIMS, read_claims
from research_train.experiment.members import Member
from research_train.experiment.workspace_members import TRAINABLE, workspace_members
from research_train.results.recorded import read_results
from research_train.results.rows import shown_counts
from research_train.results.standing import standings

BEGIN, END = "<!-- all claims: written by `reproduce` -->", "<!-- /all claims -->"


def write_overview(workspace: Path) -> None:
    """Renew the table in the workspace's README, if it has the markers. Raises StorageError."""
    path = workspace / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return
    content = f"{before}{begin}\n\n{overview(workspace)}\n{end}{after}"
    if content != text:
        write_bytes(path, content.encode())


def overview(workspace: Path) -> str:
    """A row for each paper that makes claims, with how many are in each state, and the sum."""
    from research_viz import markdown_table

    papers = [
        member
        for member in workspace_members(workspace, TRAINABLE)
        if (member.folder / CLAIMS).is_file()
    ]
    counts = {member: states_of(member) for member in papers}
    rows = [[_linked(member), shown_counts(counts[member])] for member in papers]
    rows.append(["all", shown_counts(sum(counts.values(), Counter()))])
    return markdown_table(["paper", "claims"], rows)


def states_of(member: Member) -> Counter[str]:
    """How many of a paper's claims are in each state; `unreadable` where a file is broken."""
    try:
        found = standings(read_claims(member.folder).claims, read_results(member))
    except ResearchError:
        return Counter({"unreadable": 1})
    return Counter(standing.state for standing in found)


def _linked(member: Member) -> str:
    place = f"{member.folder.parent.name}/{member.folder.name}"
    return f"[{member.name}]({place}/README.md)"
