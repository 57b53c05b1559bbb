"""Evaluate a finished run, and record and draw the paper's numbers beside it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING

from research_data import pinned_assets
from research_data.durable import write_json
from research_data.shown import shown_metric, table_lines

from research_train.errors import ExperimentError, MetricError, RunError
from research_train.experiment.members import Experiment
from research_train.loop.metrics import Evaluation
from research_train.record.lock import run_status
from research_train.record.record import compute_seal, recorded_metrics, utc_now
from research_train.record.run import Run
from research_train.record.summary import NO_SEAL
from research_train.state.random_state import seed_everything

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EVALUATION = "evaluation.json"


def evaluate_run(run: Run, experiment: Experiment) -> Evaluation:
    """Evaluate a completed run with the paper's `evaluate(config, run)`.

    Writes evaluation.json and, if it has a confusion matrix, figures/confusion-matrix.{png,svg}
    into the run's folder. Raises RunError if the run was changed after it ended.
    """
    evaluation = call_evaluate(run, experiment)
    if not isinstance(evaluation, Evaluation):
        raise ExperimentError(
            f"{experiment.module}.evaluate returned {type(evaluation).__name__}, not an Evaluation"
        )
    try:
        evaluation = _recorded(evaluation)
    except MetricError as error:
        raise ExperimentError(f"{experiment.module}.evaluate: {error}") from error
    content = {
        "schema": 1,
        "run": run.record.id,
        "seal": run.record.seal,
        "checkpoint": next((folder.name for folder in run.checkpoints()[-1:]), None),
        "evaluated": utc_now(),
        **asdict(evaluation),
    }
    write_json(run.folder / EVALUATION, content)
    if evaluation.confusion is not None:
        _draw_confusion(run, evaluation)
    return evaluation


def call_evaluate(run: Run, experiment: Experiment) -> object:
    """What the paper's `evaluate(config, run)` returns, with the run's seed and data.

    Raises RunError if the run didn't complete, or was changed after it ended.
    """
    if run.record.seal is None and run.record.status == "completed":
        raise RunError(f"{run.folder}: {NO_SEAL}. It is no evidence; train again.")
    if run.record.seal is None:
        raise RunError(
            f"{run.record.id} is {run_status(run.folder, run.record)}: only a completed run can be "
            f"evaluated. `train --resume {run.record.id}` continues it."
        )
    if compute_seal(run.folder, run.record) != run.record.seal:
        raise RunError(
            f"{run.folder}: its seal doesn't fit, so its record, config, metrics or weights were "
            "changed after it ended. It is no evidence; train again."
        )
    seed = partial(seed_everything, run.config.seed, run.config.deterministic)
    seed()  # the paper's module may draw random numbers while it is imported
    evaluate = experiment.function("evaluate")
    with pinned_assets(run.record.assets):
        seed()
        return evaluate(run.config, run)


def evaluation_lines(evaluation: Evaluation) -> Iterator[str]:
    """The evaluation as lines of text: the table, then the metrics."""
    if rows := [[_shown(value) for value in row.values()] for row in evaluation.table]:
        yield from table_lines(list(evaluation.table[0]), rows, right=True)
        yield ""
    for name, value in evaluation.metrics.items():
        percent = f"  ({value:.1%})" if value is not None and name.endswith("accuracy") else ""
        yield f"{name} = {shown_metric(value)}{percent}"


def figures_of(run: Run) -> list[Path]:
    """The figures in a run's folder."""
    return sorted((run.folder / "figures").glob("*.png"))


def _draw_confusion(run: Run, evaluation: Evaluation) -> None:
    from research_viz import draw_once

    title = ", ".join(f"{name} {_shown(value)}" for name, value in evaluation.metrics.items())
    shown = (evaluation.confusion, evaluation.labels, title)

    def draw() -> "Figure":
        from research_viz import confusion_matrix  # slow, and only needed here

        assert evaluation.confusion is not None
        return confusion_matrix(evaluation.confusion, evaluation.labels, title)

    draw_once(run.folder / "figures" / "confusion-matrix", shown, draw)


def _recorded(evaluation: Evaluation) -> Evaluation:
    """The evaluation in plain numbers, None for those that aren't finite.

    Raises MetricError if metrics, table or counts can't be recorded.
    """
    table = []
    for row in evaluation.table:
        if list(row) != list(evaluation.table[0]):
            raise MetricError(
                f"the rows of the table differ in their columns: {list(evaluation.table[0])} and "
                f"{list(row)}"
            )
        numbers = {k: v for k, v in row.items() if not isinstance(v, str | int)}
        table.append({**row, **recorded_metrics(numbers)})
    confusion = evaluation.confusion
    if confusion is not None:
        confusion = _counts(confusion, len(evaluation.labels))
    return replace(
        evaluation,
        metrics=recorded_metrics(evaluation.metrics),
        table=table,
        confusion=confusion,
    )


def _counts(confusion: Sequence[Sequence[int]], labels: int) -> list[list[int]]:
    columns = sorted({len(row) for row in confusion})
    if columns != [labels] or len(confusion) != labels:
        raise MetricError(
            f"confusion: {len(confusion)} rows of {columns} counts and {labels} labels; it must be "
            "(classes, classes) with one label per class"
        )
    try:
        return [[index(count) for count in row] for row in confusion]
    except TypeError as error:
        raise MetricError(f"confusion: counts are whole numbers ({error})") from error


def _shown(value: str | float | int | None) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
