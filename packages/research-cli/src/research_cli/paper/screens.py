"""Print `research-cli paper list`, `check` and `remove` for people."""

from collections.abc import Iterator, Sequence

from research_data.shown import counted, first_few, shown_age, shown_size
from research_train.results.rows import shown_counts

from research_cli.paper.check import PaperCheck
from research_cli.paper.removal import PaperRemoval
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


def paper_removal_lines(plan: PaperRemoval, done: bool) -> Iterator[str]:
    """What removing a paper does or did, line by line for people."""
    would, size = ("" if done else "would be "), shown_size(plan.bytes)
    yield f"{plan.folder}: {would}moved to {plan.target} ({size})"
    yield f"uv.lock: {would}renewed; {plan.distribution}: {would}uninstalled"
    for dependent in plan.dependents:
        yield f"{'left' if done else 'would be left'} without it: {dependent}"
    if plan.runs:
        runs = f"{counted(plan.runs, 'run')} ({shown_size(plan.runs_bytes)})"
        stay = "stays" if plan.runs == 1 else "stay"
        yield f"{runs} {stay} in {plan.outputs}; `research-cli run remove` removes runs"
    if plan.data:
        data = first_few(plan.data)
        yield f"data stays in assets: {data}; `research-cli dataset remove` removes it"
    if not done:
        yield "nothing is changed yet: add --yes to remove"
