"""Which metric a sweep makes best, in which direction, and its value in a run."""

from collections.abc import Collection, Sequence
from typing import get_args

from research_data.errors import UsageError
from research_data.shown import did_you_mean

from research_train.claims.file import CLAIMS, Claim, read_claims
from research_train.experiment.members import Experiment
from research_train.history.sort_order import LIKE_A_LOSS
from research_train.record.finding import last_run
from research_train.record.metrics_file import OF_THE_MACHINE, metrics_of, read_metrics
from research_train.record.summary import RunSummary, summarise
from research_train.sweeps.study import Direction

DIRECTIONS: dict[str, Direction] = {"higher": "max", "lower": "min"}


def metric_and_direction(
    experiment: Experiment, metric: str | None = None, direction: Direction | None = None
) -> tuple[str, Direction]:
    """What to make best: as given, else as the claims on the experiment say if they agree.

    Raises UsageError, which lists the metrics, where it isn't clear, and for a metric that the
    newest completed run of the experiment lacks; ClaimsError.
    """
    if direction is not None and direction not in get_args(Direction):
        raise UsageError(f"direction: {direction!r} is neither 'max' nor 'min'")
    claims = _claims(experiment)
    newest = last_run(experiment.member.name, experiment.name, ["completed"])
    known = metrics_of_run(summarise(newest)) if newest is not None else []
    said = list(dict.fromkeys(name for claim in claims for name in claim.metrics))
    if metric is None:
        metric = _only_metric(experiment, claims, direction, [*said, *known])
    if newest is not None and metric not in known:
        raise UsageError(
            f"--metric {metric}: no run writes it.{did_you_mean(metric, known)} The newest one, "
            f"{newest.name}, has {', '.join(known)}. If its code writes it now, train once first."
        )
    sides = _sides(claims, metric)
    if direction is None and len(sides) != 1:
        raise UsageError(
            f"is a large or a small {metric} good? The claims of {experiment.name} don't say it: "
            "add --max or --min"
        )
    return metric, direction or sides.pop()


def metrics_of_run(run: RunSummary) -> list[str]:
    """The names of a run's final metrics, then of those that it has logged alone."""
    logged = [name for point in read_metrics(run.folder) for name in metrics_of(point)]
    names = dict.fromkeys([*run.metrics, *logged])
    return [name for name in names if not name.startswith(OF_THE_MACHINE)]


def metric_of_run(run: RunSummary, metric: str) -> float | None:
    """The final metric of a completed run, else the last value logged; None: not finite.

    Raises UsageError if the run has no such metric.
    """
    if metric in run.metrics:
        return run.metrics[metric]
    for point in reversed(read_metrics(run.folder)):
        if metric in point:
            return point[metric]
    raise lacks(metric, run, metrics_of_run(run))


def lacks(metric: str, run: RunSummary, known: Collection[str]) -> UsageError:
    """The error for a metric that a run doesn't have."""
    return UsageError(
        f"--metric {metric}: no run writes it.{did_you_mean(metric, known)} {run.id} has "
        f"{', '.join(known) or 'no metrics'}. Start the sweep with one of these and another --name."
    )


def _claims(experiment: Experiment) -> list[Claim]:
    """The claims about an experiment's runs."""
    member = experiment.member
    if not (member.folder / CLAIMS).is_file():
        return []
    claims = read_claims(member.folder).claims
    return [each for each in claims if member.experiment(each.experiment) == experiment]


def _sides(claims: Sequence[Claim], metric: str) -> set[Direction]:
    """The directions in which claims call a metric good, unless its name says otherwise.

    A claim may say `higher` of an error, such as the peak of a double descent.
    """
    said = [claim for claim in claims if claim.metric == metric and claim.kind == "value"]
    sides = {DIRECTIONS[claim.direction] for claim in said if claim.direction in DIRECTIONS}
    return sides - {"max"} if LIKE_A_LOSS.search(metric.lower()) else sides


def _only_metric(
    experiment: Experiment,
    claims: Sequence[Claim],
    direction: Direction | None,
    known: Sequence[str],
) -> str:
    """The metric of the claims that say a direction, or of all claims where one is given."""
    found = {claim.metric for claim in claims if direction or _sides(claims, claim.metric)}
    if len(found) == 1 and (metric := found.pop()) in known:
        return metric
    listed = ", ".join(dict.fromkeys(known))
    raise UsageError(
        f"name the metric to make best, as the claims of {experiment.name} don't settle it: "
        "--metric NAME with --max or --min. "
        + (f"Known metrics: {listed}" if listed else "No run has been recorded yet to list them.")
    )
