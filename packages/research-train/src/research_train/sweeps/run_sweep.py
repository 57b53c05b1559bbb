"""Run a sweep of an experiment, or go on with it, and read what came out.

from research_train import find_member, installed_members, sweep

experiment = find_member("mnist1d", installed_members()).experiment()
found = sweep(
    experiment,
    {"learning_rate": "1e-4..1e-1:4", "model": ["mlp", "cnn"]},
    seeds=range(5),
    metric="test/accuracy",
    direction="max",
)
print(found.best.setting, found.best.mean, found.best.sd)
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import get_args

from research_data import StorageError
from research_data.errors import UsageError
from research_data.lock import try_lock
from research_data.shown import did_you_mean

from research_train.errors import RunError
from research_train.experiment.config_values import load_config
from research_train.experiment.members import Experiment
from research_train.history.table import runs
from research_train.places import Place
from research_train.processes.srun import refuse_tasks
from research_train.record.folders import CONFIG
from research_train.record.running_code import trains_otherwise, what_changed
from research_train.record.summary import RunSummary
from research_train.sweeps.metric import metric_and_direction
from research_train.sweeps.on_cluster import refuse_cluster, refuse_learning, train_on_cluster
from research_train.sweeps.outcome import SweepOutcome, outcome_of
from research_train.sweeps.space_words import Plain, read_space
from research_train.sweeps.study import Direction, Pruner, Sampler, Study
from research_train.sweeps.sweep_file import (
    JOURNAL,
    LOCK,
    Sweep,
    check_same,
    new_sweep,
    read_sweep,
    write_sweep,
)
from research_train.sweeps.trials import Trials
from research_train.versions.hand_over import has_releases

TRIALS = 20  # of a sampler other than grid, unless said otherwise


def plan_sweep(
    experiment: Experiment,
    varied: Mapping[str, Plain] | None = None,
    words: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    name: str | None = None,
    sampler: str | None = None,
    sampler_seed: int = 0,
    pruner: str = "none",
    metric: str | None = None,
    direction: Direction | None = None,
    on: Place = "local",
) -> Sweep:
    """A checked sweep, ready to be run; nothing is written yet. The arguments are `sweep`'s.

    Raises UsageError and ConfigError for whatever is wrong in them.
    """
    space = read_space(experiment, varied or {}, words, seeds)
    if not space.dimensions and len(space.seeds) < 2:
        raise UsageError(
            "nothing varies: list several values of a config key, learning_rate=1e-3,1e-2, or a "
            "range, learning_rate=1e-4..1e-1"
        )
    chosen = sampler or ("grid" if space.is_listed else "random")
    _refuse_unknown("sampler", chosen, get_args(Sampler))
    _refuse_unknown("pruner", pruner, get_args(Pruner))
    if not space.dimensions and chosen != "grid":
        raise UsageError(f"--sampler {chosen}: only the seed varies, so there is nothing to choose")
    if chosen == "grid":
        next(space.settings())  # refuses a range without a number of values
    wanted = metric_and_direction(experiment, metric, direction)
    planned = new_sweep(
        name,
        experiment.member.name,
        experiment.name,
        space,
        chosen,  # type: ignore[arg-type]  # one of them, by now
        sampler_seed,
        pruner,  # type: ignore[arg-type]
        *wanted,
    )
    if on == "slurm":
        refuse_learning(planned)
    return planned


def sweep(
    experiment: Experiment,
    varied: Mapping[str, Plain] | None = None,
    words: Sequence[str] = (),
    *,
    seeds: Sequence[int] | None = None,
    name: str | None = None,
    sampler: str | None = None,
    sampler_seed: int = 0,
    pruner: str = "none",
    trials: int | None = None,
    metric: str | None = None,
    direction: Direction | None = None,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[str], None] = lambda line: None,
    on: Place = "local",
) -> SweepOutcome:
    """Train an experiment in many settings, each with every seed; returns what came out.

    varied: config key -> a list of values, or a text such as "1e-4..1e-1". words: the same as
    `key=values`. seeds: repetitions of each setting, not a search dimension: a trial trains all of
    them and has the mean of the metric. name: an existing sweep of that name is continued if it is
    the same; by default, the name follows from what is varied. sampler: grid, random, tpe, gp or
    qmc; by default grid where all is listed, else random. pruner: none, median, halving or
    hyperband, which judge by what the first seed's run logs. trials: how many in all, by default
    20; not of a grid. metric, direction: by default those of the claims. jobs: trainings at once,
    by default one per core. say, show: called with lines about the progress. on: where to train, on
    this machine or as jobs of a cluster (on_cluster.py), which go on after an interruption.

    Raises UsageError and ConfigError before anything is written; Interrupted after all runs have
    stopped at a checkpoint; RunError for a damaged sweep, one in use, or one whose code changed;
    CommandError for what a cluster refuses.
    """
    planned = plan_sweep(
        experiment, varied, words, seeds, name, sampler, sampler_seed, pruner, metric, direction, on
    )
    return run_sweep(planned, experiment, trials, jobs, say, show, on)


def run_sweep(
    planned: Sweep,
    experiment: Experiment,
    trials: int | None = None,
    jobs: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[str], None] = lambda line: None,
    on: Place = "local",
) -> SweepOutcome:
    """Run a planned sweep, or go on with it. Arguments and errors are those of `sweep`."""
    refuse_tasks("research-cli sweep", ", or `--on slurm`, which submits the runs as jobs")
    for option, number in (("trials", trials), ("jobs", jobs)):
        if number is not None and number < 1:
            raise UsageError(f"--{option} {number}: at least 1")
    if planned.sampler == "grid" and trials is not None:
        raise UsageError("--trials: a grid trains each of its settings; use another --sampler")
    limit = None if planned.sampler == "grid" else trials or TRIALS
    if on == "slurm":
        refuse_cluster(planned, experiment)
    there = check_same(planned)
    with _held(planned):
        if there:
            _refuse_changed_code(planned, experiment)
        write_sweep(planned)
        study = _study(planned)
        study.try_failed_again()
        begun = Trials(planned, experiment, study, limit, jobs, say, show)
        if on == "slurm":
            train_on_cluster(begun, planned, experiment, jobs, say, show)
        else:
            begun.train()
        return _outcome(planned, study)


def read_outcome(paper: str, name: str) -> SweepOutcome:
    """What came out of a sweep so far. Raises UsageError if there is none of that name."""
    found = read_sweep(paper, name)
    with _held(found):
        return _outcome(found, _study(found))


def _study(planned: Sweep) -> Study:
    return Study(
        planned.folder / JOURNAL,
        planned.space,
        planned.sampler,
        planned.pruner,
        planned.direction,
        planned.sampler_seed,
    )


def _outcome(planned: Sweep, study: Study) -> SweepOutcome:
    return outcome_of(planned, study.trials(), _runs_of(planned))


def _runs_of(planned: Sweep) -> dict[int, list[RunSummary]]:
    """Trial -> its runs, the newest of each seed."""
    found: dict[int, dict[int, RunSummary]] = {}
    pattern = re.compile(rf"{re.escape(planned.name)}-(\d+)")
    for run in reversed(runs(planned.paper, group=planned.name)):  # oldest first
        match = pattern.fullmatch((run.record.name or "") if run.record else "")
        if match and run.record is not None:
            found.setdefault(int(match[1]), {})[run.record.seed] = run
    return {trial: list(by_seed.values()) for trial, by_seed in found.items()}


@contextmanager
def _held(planned: Sweep) -> Iterator[None]:
    """Hold a sweep for this process. Raises RunError if another one is at work on it."""
    try:
        planned.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(planned.folder, error) from error
    lock = try_lock(planned.folder / LOCK)
    if lock is None:
        raise RunError(f"{planned.folder}: another process is at work on this sweep")
    with lock:
        yield


def _refuse_changed_code(planned: Sweep, experiment: Experiment) -> None:
    """Refuse to go on with a sweep whose code has changed: its runs could not be compared."""
    if has_releases(experiment.member):  # only the release knows what it imports
        return
    every = [run for each in _runs_of(planned).values() for run in each]
    completed = [run for run in every if run.status == "completed" and run.record]
    if not completed:
        return
    newest = max(completed, key=lambda run: run.started)
    assert newest.record is not None
    config = load_config(experiment, file=newest.folder / CONFIG)
    if trains_otherwise(newest.record, config, experiment):
        changed = "\n".join(what_changed(newest.record, experiment))
        raise RunError(
            f"sweep {planned.name}: what it trains has changed since {newest.id}, so more runs "
            f"would not compare:\n{changed}\nUndo these changes, or give the sweep another --name"
        )


def _refuse_unknown(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise UsageError(
            f"--{what} {name!r}: there is no such {what}.{did_you_mean(name, known)} "
            f"Use {', '.join(known)}"
        )
