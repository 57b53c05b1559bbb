"""Draw a sweep: a map, parallel coordinates or rows of its settings, and its budget curve."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from research_data import StorageError
from research_data.errors import UsageError

from research_train.sweeps.outcome import SettingOutcome, SweepOutcome
from research_train.sweeps.space import Range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = "settings"  # names of the figures, without their ending
BUDGET = "budget"
Coordinate = str | float
MOST_CELLS = 12  # values of a key: a map of more can't be read
MOST_ROWS = 30

# research_viz is slow to import, and only needed here.


def draw_sweep(outcome: SweepOutcome, against: Sequence[SweepOutcome] = ()) -> list[Path]:
    """Draw a sweep into its folder: settings.png, and budget.png from three trials on.

    against: sweeps of the same metric, whose budget curves are drawn beside it. Returns the files.
    Raises UsageError where these are of another metric, StorageError.
    """
    from research_viz import save_figure

    if not any(each.mean is not None for each in outcome.settings):
        return []
    for other in against:
        _refuse_other_metric(outcome, other)
    figures = {}
    if outcome.sweep.keys:
        figures[SETTINGS] = settings_figure(outcome)
    if len(outcome.budget) >= 3 or against:
        figures[BUDGET] = budget_figure([outcome, *against])
    files = []
    for name, figure in figures.items():
        try:
            files += save_figure(figure, outcome.sweep.folder / name, ["png"])
        except OSError as error:
            raise StorageError(outcome.sweep.folder / f"{name}.png", error) from error
    return files


def settings_figure(outcome: SweepOutcome) -> "Figure":
    """A map of two listed keys, rows for one, parallel coordinates for all else."""
    from research_viz import comparison, parallel_coordinates, sweep_heatmap

    metric = outcome.sweep.metric
    shown = [each for each in outcome.settings if each.state in ("complete", "diverged")]
    best: Literal["highest", "lowest"] = "highest" if outcome.sweep.is_max else "lowest"
    title = f"{outcome.sweep.experiment}: sweep {outcome.sweep.name}"
    keys = list(outcome.sweep.keys)
    if len(keys) == 1:
        methods: dict[str, list[float]] = {}
        for each in sorted(shown, key=lambda each: each.trial):
            name = f"{keys[0]}={each.setting[keys[0]]}"
            numbers = [value for value in each.values.values() if value is not None]
            if each.mean is not None and len(methods) < MOST_ROWS:
                # A setting that was drawn again has no runs of its own.
                methods.setdefault(name, numbers or [each.mean])
        return comparison(methods, metric, title=title)
    columns = {key: _coordinates(outcome, key, shown) for key in keys}
    values = [each.mean for each in shown]
    few = all(len(set(column)) <= MOST_CELLS for column in columns.values())
    if len(keys) == 2 and few:
        cells = {
            place: float("nan") if value is None else value
            for place, value in zip(zip(*columns.values(), strict=True), values, strict=True)
        }
        return sweep_heatmap(cells, keys[0], keys[1], metric, title, best=best)
    settings = [{key: columns[key][index] for key in keys} for index in range(len(shown))]
    return parallel_coordinates(settings, values, metric, best, _logarithmic(outcome), title)


def budget_figure(outcomes: Sequence[SweepOutcome]) -> "Figure":
    """The expected best of n trials over n, for each sweep."""
    from research_viz import learning_curves

    curves = {
        each.sweep.name: ([p.trials for p in each.budget], [p.best for p in each.budget])
        for each in outcomes
        if each.budget
    }
    side = "largest" if outcomes[0].sweep.is_max else "smallest"
    ylabel = f"expected {side} {outcomes[0].sweep.metric}"
    title = "Best of n trials"
    return learning_curves(curves, ylabel, "trials", title)


def _refuse_other_metric(outcome: SweepOutcome, other: SweepOutcome) -> None:
    ours, theirs = outcome.sweep, other.sweep
    if (ours.metric, ours.direction) != (theirs.metric, theirs.direction):
        raise UsageError(
            f"--against {theirs.name}: it has the {theirs.direction} of {theirs.metric}, and "
            f"{ours.name} the {ours.direction} of {ours.metric}"
        )
    if not other.budget:
        raise UsageError(f"--against {theirs.name}: none of its trials is complete")


def _coordinates(
    outcome: SweepOutcome, key: str, shown: Sequence[SettingOutcome]
) -> list[Coordinate]:
    """The values of a key as numbers if all are, else as they were typed."""
    words = [each.setting[key] for each in shown]
    try:
        return [float(word) for word in words]
    except ValueError:
        return list(words)


def _logarithmic(outcome: SweepOutcome) -> list[str]:
    """The keys to draw on a logarithmic axis: ranges that are, and numbers far apart."""
    found = []
    for key, each in outcome.sweep.space.dimensions.items():
        if isinstance(each, Range):
            found += [key] if each.logarithmic else []
            continue
        numbers = _coordinates(outcome, key, outcome.settings)
        if all(isinstance(each, float) and each > 0 for each in numbers):
            floats = [float(each) for each in numbers]
            found += [key] if max(floats) / min(floats) >= 100 else []
    return found
