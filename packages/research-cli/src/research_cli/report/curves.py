"""The figures of a report: a paper's claims, and the learning curves of each of its experiments."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from research_data.errors import ResearchError
from research_data.shown import first_few
from research_train.history.curves import (
    RunGroup,
    group_curve,
    group_labels,
    group_setting,
    logarithmic_metrics,
    seed_groups,
)
from research_train.record.metrics_file import metrics_of, read_metrics, repeatable_part
from research_train.record.summary import RunSummary
from research_viz import claim_plot, inline_svg, learning_curves

from research_cli.report.member import ShownMember

# Limits that keep a page small and quick to draw; the page says what they leave out.
MOST_EXPERIMENTS = 4  # of a paper
MOST_SETTINGS = 6  # curves in a figure: one for each colour of the house style
MOST_SEEDS = 32  # of a setting, in one curve
MOST_METRICS = 2  # figures of an experiment
MOST_POINTS = 200  # of a curve


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page. svg: the element, with this id. remark: what it leaves out."""

    id: str
    title: str
    svg: str
    remark: str = ""

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height, as inside of the element."""
        box = re.match(r'<svg id="[^"]*" viewBox="0 0 ([\d.]+) ([\d.]+)"', self.svg)
        assert box is not None
        return float(box[1]), float(box[2])


def _page_figure(id: str, title: str, svg: str, remark: str = "") -> PageFigure:
    return PageFigure(id, title, svg.replace("<svg ", f'<svg id="{id}" ', 1), remark)


def claims_figure(member: ShownMember) -> PageFigure | None:
    """The claims that have evidence, every seed a mark; None where there are none."""
    rows = [claim.row for claim in member.claims if claim.row]
    if not rows:
        return None
    label = f"{len(rows)} claims of {member.name}: published and reproduced, as in the table"
    identifier = f"{_identifier(member.name)}-claims"
    svg = inline_svg(claim_plot(rows), identifier, label)
    return _page_figure(identifier, "Each claim on its own scale", svg)


def curve_figures(
    member: ShownMember, runs: Sequence[RunSummary], problems: list[str]
) -> Iterable[PageFigure]:
    """A figure for each metric of each experiment, experiments with evidence first.

    Adds what can't be drawn to problems.
    """
    evidence = member.evidence
    experiments: dict[str, list[RunSummary]] = {}
    # Of two runs with the same seed only the first is drawn: evidence before other runs, and
    # originals before copies.
    for run in sorted(runs, key=lambda run: (run.id not in evidence, bool(run.remarks))):
        if run.record is not None:
            experiments.setdefault(run.record.experiment, []).append(run)
    for number, (experiment, found) in enumerate(experiments.items()):
        if number == MOST_EXPERIMENTS:
            left = list(experiments)[number:]
            problems.append(f"{member.name}: no curves are drawn for {', '.join(left)}")
            return
        try:
            yield from _of_experiment(member, experiment, found, number, problems)
        except (ResearchError, ValueError, OSError) as error:
            problems.append(f"{experiment}: its curves can't be drawn: {error}")


def _of_experiment(
    member: ShownMember,
    experiment: str,
    runs: Sequence[RunSummary],
    number: int,
    problems: list[str],
) -> Iterable[PageFigure]:
    groups, left_out = _chosen(runs, member.evidence)
    metrics = _metrics(
        groups[0].runs[0], {each for claim in member.claims for each in claim.metrics}
    )
    if others := metrics[MOST_METRICS:]:
        left_out.append(f"metrics: {first_few(others, 4)}")
    remark = f"not drawn: {'; '.join(left_out)}" if left_out else ""
    for place, metric in enumerate(metrics[:MOST_METRICS]):
        curves = {group.label: _curve(experiment, group, metric, problems) for group in groups}
        if not any(_has_numbers(values) for _, values in curves.values()):
            continue
        # A setting without the metric keeps its place, so that every setting has the same colour
        # in all figures.
        curves = {label: each if each[0] else ([0], [[math.nan]]) for label, each in curves.items()}
        logarithmic = bool(logarithmic_metrics({metric: curves}))
        figure = learning_curves(
            curves, metric, logarithmic=logarithmic, band="range" if logarithmic else "interval"
        )
        title = f"{experiment}: {metric}"
        identifier = f"{_identifier(member.name)}-{number}-{place}"
        svg = inline_svg(figure, identifier, f"Curves, {title}")
        yield _page_figure(identifier, title, svg, remark)
        remark = ""  # only with the first figure


def _curve(
    experiment: str, group: RunGroup, metric: str, problems: list[str]
) -> tuple[list[int], list[list[float]]]:
    """The curve of a group; runs without the metric are left out and added to problems."""
    curve = group_curve(group, metric, MOST_POINTS)
    if curve[0]:
        return curve
    having = [run for run in group.runs if group_curve(RunGroup("", [run]), metric, 2)[0]]
    if not having or len(having) == len(group.runs):
        return curve
    without = ", ".join(run.id for run in group.runs if run not in having)
    name = " ".join(dict.fromkeys([experiment, group.label]))
    problems.append(f"{name}: drawn without {without}, whose metrics.jsonl has no {metric}")
    return group_curve(RunGroup(group.label, having), metric, MOST_POINTS)


def _chosen(runs: Sequence[RunSummary], evidence: set[str]) -> tuple[list[RunGroup], list[str]]:
    """The settings to draw, and what is left out.

    If any run completed, only completed runs are drawn: one that stopped early would cut the mean
    over its seeds short. Runs with less than a tenth of the steps of the longest are trials and
    left out. Of each setting, the version of the code with the most evidence is drawn, or else the
    one with the most seeds; settings are ranked in the same way.
    """
    completed = [run for run in runs if run.status == "completed"] or list(runs)
    longest = max(map(_steps, completed))
    whole = [run for run in completed if run.id in evidence or 10 * _steps(run) >= longest]
    groups = seed_groups(whole)
    ranked = sorted(
        groups,
        key=lambda group: (
            -sum(run.id in evidence for run in group.runs),
            -len(group.runs),
            -_steps(group.runs[0]),
        ),
    )
    chosen: dict[str, RunGroup] = {}
    for group in ranked:
        chosen.setdefault(group_setting(group), group)
    drawn = list(chosen.values())[:MOST_SETTINGS]
    labels = group_labels([group.runs[0] for group in drawn])
    counts = {
        "other settings or versions of the code": len(groups) - len(drawn),
        f"seeds beyond {MOST_SEEDS} of a setting": sum(
            max(0, len(group.runs) - MOST_SEEDS) for group in drawn
        ),
        "further runs of a seed": len(whole) - sum(len(group.runs) for group in groups),
        "runs of less than a tenth of the steps": len(completed) - len(whole),
        "runs that did not complete": len(runs) - len(completed),
    }
    return [
        RunGroup(label, group.runs[:MOST_SEEDS]) for label, group in zip(labels, drawn, strict=True)
    ], [f"{what}: {count}" for what, count in counts.items() if count]


def _metrics(run: RunSummary, claimed: set[str | None]) -> list[str]:
    """The metrics that were logged: those in claims first, then losses, accuracies, and others."""
    logged = dict.fromkeys(
        name for point in read_metrics(run.folder) for name in metrics_of(repeatable_part(point))
    )

    def rank(name: str) -> int:
        wanted = (name in claimed, "loss" in name, "accuracy" in name)
        return wanted.index(True) if any(wanted) else len(wanted)

    return sorted(logged, key=rank)


def _steps(run: RunSummary) -> int:
    steps = run.config.get("steps")
    return steps if isinstance(steps, int) else 0


def _has_numbers(values: Sequence[Sequence[float]]) -> bool:
    """Whether at some step all runs have a number: a mean is drawn of such steps alone."""
    return any(all(value == value for value in step) for step in zip(*values, strict=True))


def _identifier(name: str) -> str:
    return "figure-" + re.sub(r"[^A-Za-z0-9]+", "-", name)
