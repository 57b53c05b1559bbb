"""Collect the learning curves of runs; runs that differ only in their seed form one curve.

groups = seed_groups(runs("mnist1d"))
draw_groups(groups, ["test/accuracy"], Path("curves"), ["png"])
"""

import json
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from research_data import StorageError
from research_data.errors import UsageError
from research_data.shown import did_you_mean

from research_train.code.fingerprint import NEUTRAL_KEYS
from research_train.errors import RunError
from research_train.history.comparison import differing, labels
from research_train.history.conditions import resolve_key
from research_train.history.sort_order import LIKE_A_LOSS
from research_train.record.folders import METRICS
from research_train.record.metrics_file import Point, metrics_of, read_metrics
from research_train.record.summary import RunSummary, record_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Format = Literal["png", "svg", "pdf"]

# Config keys that change how a run is stored and shown, but not its results.
BESIDE_THE_POINT = NEUTRAL_KEYS | {"evaluate_every"}


@dataclass(frozen=True)
class RunGroup:
    """Runs that form one curve. label: what distinguishes them from the other groups."""

    label: str
    runs: list[RunSummary]


def seed_groups(runs: Sequence[RunSummary], by: str | None = None) -> list[RunGroup]:
    """Group runs that differ only in their seed; groups are in the order of their first runs.

    The runs of a group have the same experiment, config and code (by the fingerprint); what differs
    between groups is their label. If a seed occurs twice in a group, the later run is left out,
    since it adds no evidence. by: a config key; runs are then grouped by its value alone, whatever
    else differs, and runs without the key are left out.

    Raises RunError for a run whose record can't be read, UsageError for an unknown key.
    """
    found: dict[object, list[RunSummary]] = {}
    if by is not None:
        key = resolve_key(by, {key for run in runs for key in run.config})
        for run in runs:
            if key in run.config:
                found.setdefault(_exactly(run.config[key]), []).append(run)
        name = key.rpartition(".")[2]
        values = _shown_apart([each[0].config[key] for each in found.values()])
        return [
            RunGroup(f"{name}={value}", each)
            for value, each in zip(values, found.values(), strict=True)
        ]
    for run in runs:
        record = record_of(run)
        # A run without a fingerprint was trained by several versions of the code: its own group.
        code = record.fingerprint or run.folder
        group = found.setdefault((record.experiment, code, _setting_text(run)), [])
        if record.seed not in [record_of(other).seed for other in group]:
            group.append(run)
    groups = list(found.values())
    return [
        RunGroup(label, group)
        for label, group in zip(group_labels([each[0] for each in groups]), groups, strict=True)
    ]


def group_labels(firsts: Sequence[RunSummary]) -> list[str]:
    """What distinguishes each run from the others, except its seed: experiment, config, code."""
    records = [record_of(run) for run in firsts]
    keys = differing([_setting(run) for run in firsts])
    shown = {key: _shown_apart(values) for key, values in keys.items()}
    last_parts = [key.rpartition(".")[2] for key in keys]
    experiments = len({record.experiment for record in records}) > 1
    made = []
    for index, record in enumerate(records):
        words = [record.experiment] if experiments or len(records) == 1 else []
        for key, values in keys.items():
            last = key.rpartition(".")[2]
            name = last if last_parts.count(last) == 1 else key
            if values[index] is not None:
                words.append(f"{name}={shown[key][index]}")
        made.append(" ".join(words))
    if len(set(made)) < len(made):  # some have the same experiment and config, but other code
        made = [
            f"{text} code {(record.fingerprint or record.id)[:8]}".strip()
            for text, record in zip(made, records, strict=True)
        ]
    if len(set(made)) < len(made):
        return [f"{text} {run.id}" for text, run in zip(made, firsts, strict=True)]
    return made


def group_setting(group: RunGroup) -> str:
    """The config of a group as text, without seed and neutral keys, to compare groups by."""
    return _setting_text(group.runs[0])


def group_curve(
    group: RunGroup, metric: str, most: int | None = None
) -> tuple[list[int], list[list[float]]]:
    """Steps that all runs of a group have logged, and the metric: (steps,), (runs, steps).

    most: keep at most this many steps, evenly chosen. A value is NaN where a run has no finite one.
    Both lists are empty if the runs have no step with this metric in common.
    """
    lines = [_logged(run.folder, metric) for run in group.runs]
    steps = sorted(set(lines[0]).intersection(*lines[1:]))
    if most is not None and len(steps) > most:
        last = len(steps) - 1
        steps = [steps[round(place * last / (most - 1))] for place in range(most)]
    return steps, [[_value(each[step], metric) for step in steps] for each in lines]


def draw_groups(
    groups: Sequence[RunGroup],
    metrics: Sequence[str],
    stem: Path,
    formats: Sequence[Format] = ("png", "svg"),
    of: str = "seeds",
) -> list[Path]:
    """Draw metrics of groups of runs over their steps, one panel per metric, into stem.png ....

    metrics: if empty, the first loss or accuracy that all runs have. of: what the runs of a group
    are called in the figure. Raises UsageError if a run lacks a metric or there is nothing to draw.
    """
    from research_viz import save_figure  # slow, and only needed here

    names = metrics or [common_metric([read_metrics(r.folder) for g in groups for r in g.runs])]
    figure = curves_figure(groups, names, of)
    try:
        return save_figure(figure, stem, formats)
    except OSError as error:
        raise StorageError(stem, error) from error


def draw_curves(runs: Sequence[RunSummary], stem: Path, metric: str | None = None) -> list[Path]:
    """Draw a metric of several runs over their steps, one curve per run: stem.png and stem.svg.

    metric: by default the first loss or accuracy that all runs have. Raises UsageError if a run
    lacks it.
    """
    groups = [RunGroup(label, [run]) for label, run in zip(labels(runs), runs, strict=True)]
    return draw_groups(groups, [metric] if metric else [], stem)


def curves_figure(
    groups: Sequence[RunGroup], metrics: Sequence[str], of: str = "seeds"
) -> "Figure":
    """The figure that `draw_groups` saves. Raises UsageError."""
    from research_viz import curve_panels  # slow, and only needed here

    panels = {}
    for metric in metrics:
        panels[metric] = {group.label: group_curve(group, metric) for group in groups}
        for group in groups:
            if not panels[metric][group.label][0]:
                raise UsageError(why_empty(group, metric))
    logarithmic = logarithmic_metrics(panels)
    # A t-interval easily reaches below 0, which a logarithmic axis can't show.
    bands: dict[str, Literal["interval", "range"]] = {
        metric: "range" if metric in logarithmic else "interval" for metric in panels
    }
    try:
        return curve_panels(panels, logarithmic=logarithmic, band=bands, of=of)
    except ValueError as error:  # no finite value, or one too large to draw
        raise UsageError(f"{', '.join(metrics)}: {error}") from error


def logarithmic_metrics(
    panels: dict[str, dict[str, tuple[list[int], list[list[float]]]]],
) -> Collection[str]:
    """The metrics to draw on a logarithmic axis: losses and errors whose values are all above 0."""
    return [
        metric
        for metric, curves in panels.items()
        if LIKE_A_LOSS.search(metric)
        and all(
            value > 0 or not math.isfinite(value)
            for _, runs in curves.values()
            for values in runs
            for value in values
        )
    ]


def common_metric(histories: Iterable[Sequence[Point]]) -> str:
    """The first loss or accuracy that all of the histories have. Raises UsageError."""
    names = [
        dict.fromkeys(name for point in points for name in metrics_of(point))
        for points in histories
    ]
    common = [name for name in names[0] if all(name in others for others in names)]
    for name in common:
        if "loss" in name or "accuracy" in name:
            return name
    listed = ", ".join(common) or "nothing"
    raise UsageError(
        "these runs have no loss or accuracy in common. Name the metric to draw; they have in "
        f"common: {listed}"
    )


def _setting(run: RunSummary) -> dict[str, object]:
    """The config without the seed and the keys that don't change the results."""
    return {key: value for key, value in run.config.items() if key not in BESIDE_THE_POINT}


def _setting_text(run: RunSummary) -> str:
    return json.dumps(_setting(run), sort_keys=True, default=str)


def _exactly(value: object) -> str:
    return json.dumps(value, default=str)


def _shown_apart(values: Sequence[object]) -> list[str]:
    """Each value for a label, short; in full where another value looks the same when short."""
    alike: dict[str, set[str]] = {}
    for value in values:
        alike.setdefault(_shown(value), set()).add(_exactly(value))
    return [_shown(value) if len(alike[_shown(value)]) == 1 else repr(value) for value in values]


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _logged(folder: Path, metric: str) -> dict[int, bytes]:
    """Step -> the line of metrics.jsonl that has the metric, not parsed.

    Most lines of a long run aren't drawn, and parsing all as JSON would take ten times as long.
    """
    try:
        content = (folder / METRICS).read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunError(f"{folder / METRICS}: cannot be read ({error.strerror})") from error
    needle, start = json.dumps(metric).encode() + b":", b'{"step": '
    lines = {}
    for line in content.splitlines():
        if needle in line and line.startswith(start) and line.endswith(b"}"):
            number = line[len(start) : line.find(b",")]
            if number.isdigit():
                lines[int(number)] = line
    return lines


def _value(line: bytes, metric: str) -> float:
    try:
        return float(json.loads(line)[metric])
    except (
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
    ):  # null, which means NaN; or a damaged line
        return math.nan


def why_empty(group: RunGroup, metric: str) -> str:
    """Why `group_curve` has no steps: what the runs have logged instead."""
    for run in group.runs:
        if not _logged(run.folder, metric):
            known = {name for point in read_metrics(run.folder) for name in metrics_of(point)}
            listed = f" It has: {', '.join(sorted(known))}" if known else " It logged no metrics."
            near = did_you_mean(metric, known)
            return f"{run.id} has no metric {metric!r}.{near or listed}"
    ids = ", ".join(run.id for run in group.runs)
    return f"the runs {ids} have logged {metric} at no common step; draw them one by one"
