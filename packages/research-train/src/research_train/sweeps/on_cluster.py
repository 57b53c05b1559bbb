"""Train the settings of a sweep as job arrays of a cluster, and wait for them.

All settings are submitted at once, so none may depend on what another gave.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from research_data import UsageError

from research_train.errors import CommandError, RunError
from research_train.evidence.present_code import fingerprints_of
from research_train.evidence.trainings import Setting
from research_train.experiment.members import Experiment
from research_train.experiment.needs import prepare_assets
from research_train.places import slurm
from research_train.places.cluster_options import cluster_options
from research_train.places.job_array import arrays_of, begin, under_way, wait
from research_train.places.job_folders import Element
from research_train.places.slurm import Seen
from research_train.places.submission import Wanted
from research_train.sweeps.space import words_of
from research_train.sweeps.sweep_file import Sweep
from research_train.sweeps.trials import Trials
from research_train.sweeps.under_way import Due
from research_train.sweeps.worker import STOPPED

AT_ONCE = ("grid", "random", "qmc")  # samplers that don't learn from what came out
KIND = "sweep"  # what the keys of a sweep's elements begin with

Which = tuple[int, int]  # the number of a trial, and a seed


def refuse_learning(sweep: Sweep) -> None:
    """Refuse a sweep whose settings depend on what others gave. Raises UsageError."""
    if sweep.sampler not in AT_ONCE:
        raise UsageError(
            f"--sampler {sweep.sampler} --on slurm: it chooses a setting by what those before it "
            f"gave, and a cluster gets all at once. Use {', '.join(AT_ONCE)}, or leave out "
            "--on slurm"
        )
    if sweep.pruner != "none":
        raise UsageError(
            f"--pruner {sweep.pruner} --on slurm: it stops a training by what the others have "
            "given, and on a cluster they may not have begun. Leave out --pruner, or --on slurm"
        )


def refuse_cluster(sweep: Sweep, experiment: Experiment) -> None:
    """Find what stands in the way of jobs, before anything is written.

    Raises UsageError, ConfigError for what slurm.yaml says, CommandError for what SLURM refuses.
    """
    refuse_learning(sweep)
    asked = cluster_options(experiment.member.folder)
    slurm.refuse_without_slurm()
    slurm.refuse_impossible(asked)


def train_on_cluster(
    trials: Trials,
    sweep: Sweep,
    experiment: Experiment,
    at_once: int | None = None,
    say: Callable[[str], None] = lambda line: None,
    show: Callable[[str], None] = lambda line: None,
) -> None:
    """Train until all trials have ended, but for those whose job was ended by `scancel`.

    at_once: how many elements of an array run at most. say, show: as of `wait`. Raises Interrupted:
    the jobs go on; CommandError as `begin` and `wait` do; RunError if the code was edited since
    jobs were submitted, or if the first trials all fail, UsageError if the runs lack the metric.
    """
    prepare_assets(experiment)  # a node may have no network
    there = under_way(sweep.paper)
    begun = {which: key for key in there if (which := _which(sweep, key)) is not None}
    submitted = dict(begun)
    trials.adopt()
    while due := trials.all_due(begun):
        wanted = _wanted(sweep, experiment, due)
        for each, new in zip(due, wanted, strict=True):
            if submitted.setdefault((each.of.trial.number, each.seed), new.key) != new.key:
                raise RunError(
                    f"sweep {sweep.name}: code, config or packages were edited since "
                    f"{each.label} was submitted, so the runs would not compare. Undo that, or "
                    "give the sweep another --name; `research-cli run list` names its jobs, for "
                    "`scancel`"
                )
        mine = begin([experiment], wanted, there, at_once, say)
        _wait(mine, due, trials, say, show)
        there, begun = {}, {}


def _wait(
    mine: Sequence[Element],
    due: Sequence[Due],
    trials: Trials,
    say: Callable[[str], None],
    show: Callable[[str], None],
) -> None:
    """Wait for all, and have the trials take note of each. What goes wrong there ends them all."""
    of = {element.job: each for element, each in zip(mine, due, strict=True)}

    def ended(element: Element, seen: Seen) -> None:
        each = of[element.job]
        if seen.said.startswith("CANCELLED"):
            say(f"job {element.job} was ended: {each.label}; the same command goes on with it")
            trials.take(each, STOPPED)
        else:
            trials.take(each, element.last_words)

    try:
        wait(mine, say, show, ended)
    except (RunError, UsageError):
        for array in arrays_of(mine):
            with suppress(CommandError):
                slurm.stop(array)
        raise


def _wanted(sweep: Sweep, experiment: Experiment, due: Sequence[Due]) -> list[Wanted]:
    """What an array is to make. Raises ClaimsError for a setting that the config refuses."""
    settings = [
        Setting(experiment.name, (*sweep.fixed, *words_of(each.of.trial.setting))) for each in due
    ]
    distinct = list(dict.fromkeys(settings))
    answers = fingerprints_of(experiment.member, distinct)
    of = {each: answer["fingerprint"] for each, answer in zip(distinct, answers, strict=True)}
    return [
        Wanted(
            _words(experiment, each),
            f"{KIND} {sweep.name} {each.of.trial.number} {each.seed} {of[setting]}",
        )
        for each, setting in zip(due, settings, strict=True)
    ]


def _words(experiment: Experiment, due: Due) -> tuple[str, ...]:
    task = due.task
    if task.resume is not None:
        return experiment.name, "--resume", task.resume
    return (experiment.name, *task.words, f"--name={task.name}", f"--group={task.group}")


def _which(sweep: Sweep, key: str) -> Which | None:
    """The trial and the seed of an element's key; None if it isn't of this sweep."""
    kind, *parts = key.split(" ")
    if kind != KIND or parts[0] != sweep.name:
        return None
    return int(parts[1]), int(parts[2])
