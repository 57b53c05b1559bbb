"""Evaluating a finished run: the paper's numbers, printed, recorded beside the run, and drawn."""

from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from research_data import pinned_assets
from research_data.durable import write_json

from research_train.errors import ExperimentError, RunError
from research_train.members import Experiment
from research_train.metrics import Evaluation
from research_train.random_state import seed_everything
from research_train.record import compute_seal, utc_now
from research_train.run import Run
from research_train.run_folders import run_status
from research_train.run_table import NO_SEAL
from research_train.text_table import table_lines

EVALUATION = "evaluation.json"


def evaluate_run(run: Run, experiment: Experiment) -> Evaluation:
    """Evaluate a completed run with the paper's `evaluate(config, run)`.

    Writes evaluation.json and, where classes were confused, figures/confusion-matrix.{png,svg}
    into the run's folder. Raises RunError when the run isn't as it was when it ended.
    """
    if run.record.seal is None and run.record.status == "completed":
        raise RunError(f"{run.folder}: {NO_SEAL}. It is no evidence; train again.")
    if run.record.seal is None:
        raise RunError(
            f"{run.record.id} is {run_status(run.folder, run.record)}: only a completed run can be "
            f"evaluated. `train --resume {run.record.id}` goes on with it."
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
        evaluation = evaluate(run.config, run)
    if not isinstance(evaluation, Evaluation):
        raise ExperimentError(
            f"{experiment.module}.evaluate returned {type(evaluation).__name__}, not an Evaluation"
        )
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


def evaluation_lines(evaluation: Evaluation) -> Iterator[str]:
    """The evaluation as lines of text: the table, then the metrics."""
    if rows := [[_shown(value) for value in row.values()] for row in evaluation.table]:
        yield from table_lines(list(evaluation.table[0]), rows)
        yield ""
    for name, value in evaluation.metrics.items():
        percent = f"  ({value:.1%})" if name.endswith("accuracy") else ""
        yield f"{name} = {value:.4f}{percent}"


def figures_of(run: Run) -> list[Path]:
    """The figures in a run's folder."""
    return sorted((run.folder / "figures").glob("*.png"))


def _draw_confusion(run: Run, evaluation: Evaluation) -> None:
    from research_viz import confusion_matrix, save_figure  # slow, and only needed here

    assert evaluation.confusion is not None
    title = ", ".join(f"{name} {value:.3f}" for name, value in evaluation.metrics.items())
    figure = confusion_matrix(evaluation.confusion, evaluation.labels, title)
    save_figure(figure, run.folder / "figures" / "confusion-matrix")


def _shown(value: str | float | int) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
