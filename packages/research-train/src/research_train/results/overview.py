"""Count the states of all papers' claims, in a table of the workspace's README."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from research_data.durable import write_bytes
from research_data.errors import ResearchError

from research_train.claims.claim import CLAIMS, read_claims
from research_train.claims.file import RESULTS
from research_train.experiment.members import Member
from research_train.experiment.workspace_members import TRAINABLE, workspace_members
from research_train.results.recorded import read_results
from research_train.results.rows import shown_counts
from research_train.results.standing import standings

BEGIN, END = "<!-- all claims: written by `reproduce` -->", "<!-- /all claims -->"


class Counted(NamedTuple):
    """A paper's claims in each state, and when the files were written that tell them."""

    written: list[int]
    states: Counter[str]


def write_overview(workspace: Path, known: Mapping[str, Counted] | None = None) -> None:
    """Renew the table in the workspace's README, if it has the markers. Raises StorageError.

    known: states that were counted just now, by the papers' names. A paper whose files have been
    written since is counted again; the more so where another process renews the table too.
    """
    path, papers, counts = workspace / "README.md", _papers(workspace), dict(known or {})
    while True:
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        before, begin, rest = text.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            return
        counts |= _counted_again(papers, counts)
        content = f"{before}{begin}\n\n{_table(papers, counts)}\n{end}{after}"
        if content != text:
            write_bytes(path, content.encode())
        if not _counted_again(papers, counts):
            return


def _counted_again(papers: Sequence[Member], known: Mapping[str, Counted]) -> dict[str, Counted]:
    """The claims of the papers that aren't known, or were written since."""
    return {
        each.name: count(each)
        for each in papers
        if each.name not in known or known[each.name].written != _written(each)
    }


def _table(papers: Sequence[Member], counts: Mapping[str, Counted]) -> str:
    """A row for each paper that makes claims, with how many are in each state, and the sum."""
    from research_viz import markdown_table

    states = {each: counts[each.name].states for each in papers}
    rows = [[_linked(each), shown_counts(of_one)] for each, of_one in states.items()]
    rows.append(["all", shown_counts(sum(states.values(), Counter()))])
    return markdown_table(["paper", "claims"], rows)


def states_of_others(member: Member) -> dict[str, Counted]:
    """How many claims of each other paper of its workspace are in each state, by its name."""
    others = (each for each in _papers(member.workspace) if each.name != member.name)
    return {each.name: count(each) for each in others}


def count(member: Member) -> Counted:
    """How many of a paper's claims are in each state now."""
    return Counted(_written(member), states_of(member))  # the times first: see write_overview


def _written(member: Member) -> list[int]:
    """When the files were written that the states follow from."""
    files = (member.folder / name for name in (CLAIMS, RESULTS))
    return [file.stat().st_mtime_ns for file in files if file.is_file()]


def _papers(workspace: Path) -> list[Member]:
    members = workspace_members(workspace, TRAINABLE)
    return [member for member in members if (member.folder / CLAIMS).is_file()]


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
