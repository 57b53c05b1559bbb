"""Print `research-cli paper list` and `check`, for people and as JSON."""

from collections.abc import Sequence
from typing import Any

from research_data.shown import shown_age
from research_train.experiment.workspace_members import kind_of

from research_cli.paper.check import PaperCheck
from research_cli.paper.state import PaperState


def list_rows(found: Sequence[PaperState]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows."""
    columns = ["name", "kind", "title", "year", "verdicts", "pins", "last run"]
    rows = [
        [
            state.member.name,
            state.kind,
            state.title,
            str(state.year or ""),
            state.problem or _verdicts(state),
            ", ".join(f"{pin.requirement} ({pin})" for pin in state.pins),
            f"{shown_age(state.last.started)}, {state.last.status}" if state.last else "never",
        ]
        for state in found
    ]
    return columns, rows


def list_value(state: PaperState) -> dict[str, Any]:
    """What --json says of a paper in the list."""
    last = state.last
    return {
        "name": state.member.name,
        "kind": state.kind,
        "distribution": state.member.distribution,
        "folder": str(state.member.folder),
        "title": state.title,
        "year": state.year,
        "arxiv": state.arxiv,
        "experiments": sorted(state.member.experiments),
        "verdicts": state.verdicts,
        "pins": [
            {
                "requirement": str(pin.requirement),
                "runs": str(pin.runs) if pin.runs else None,
                "release": pin.release,
                "refused": pin.refused,
            }
            for pin in state.pins
        ],
        "last_run": {"id": last.id, "started": last.started, "status": last.status}
        if last
        else None,
        "problem": state.problem or None,
    }


def check_lines(checked: Sequence[PaperCheck]) -> list[str]:
    """Problems, then notes, then the papers that are in order."""
    fine = [each.member.name for each in checked if not each.problems]
    lines = [problem for each in checked for problem in each.problems]
    lines += [f"note: {note}" for each in checked for note in each.notes]
    return [*lines, *([f"in order: {', '.join(fine)}"] if fine else [])]


def check_value(checked: Sequence[PaperCheck]) -> list[dict[str, Any]]:
    """What --json says of the checks."""
    return [
        {
            "name": each.member.name,
            "kind": kind_of(each.member),
            "problems": each.problems,
            "notes": each.notes,
        }
        for each in checked
    ]


def _verdicts(state: PaperState) -> str:
    """For example "5 reproduced, 1 known gap"; empty for a project, which makes no claims."""
    if state.verdicts:
        return ", ".join(f"{count} {verdict}" for verdict, count in state.verdicts.items())
    return "not yet" if state.kind == "paper" else ""
