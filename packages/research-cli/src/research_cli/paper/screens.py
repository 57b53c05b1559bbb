"""Print `research-cli paper list` and `check` for people."""

from collections.abc import Sequence

from research_data.shown import shown_age
from research_train.results.rows import shown_counts

from research_cli.paper.check import PaperCheck
from research_cli.paper.state import PaperState


def list_rows(found: Sequence[PaperState]) -> list[dict[str, str]]:
    """A row each, its cells by their columns."""
    return [
        {
            "name": state.name,
            "kind": state.kind,
            "title": state.title,
            "year": str(state.year or ""),
            "verdicts": state.problem or _verdicts(state),
            "pins": ", ".join(f"{pin.requirement} ({pin})" for pin in state.pins),
            "last run": _last_run(state),
        }
        for state in found
    ]


def check_lines(checked: Sequence[PaperCheck]) -> list[str]:
    """Problems, then notes, then the papers that are in order."""
    fine = [each.name for each in checked if not each.problems]
    lines = [problem for each in checked for problem in each.problems]
    lines += [f"note: {note}" for each in checked for note in each.notes]
    return [*lines, *([f"in order: {', '.join(fine)}"] if fine else [])]


def _verdicts(state: PaperState) -> str:
    """For example "5 reproduced, 1 known gap"; empty for a project, which makes no claims."""
    if state.verdicts:
        return shown_counts(state.verdicts)
    return "not yet" if state.kind == "paper" else ""


def _last_run(state: PaperState) -> str:
    last = state.last_run
    return f"{shown_age(last.started)}, {last.status}" if last else "never"
