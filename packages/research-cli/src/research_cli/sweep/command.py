"""`research-cli sweep`: train an experiment in many settings, and find the best."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from research_data.errors import UsageError
from research_data.shown import print_line, say

from research_cli.printing import Json, examples, output, print_json

if TYPE_CHECKING:
    from research_train import Experiment, Member, Sweep

# Modules that only one command needs are imported inside it, so that `--help` answers at once.


def with_sweep(app: typer.Typer) -> typer.Typer:
    """Add the command to `research-cli`; returns it."""
    app.command(
        epilog=examples(
            "research-cli sweep mnist1d model=mlp,cnn learning_rate=1e-3,1e-2 seed=0..4 \\",
            "    --metric test/accuracy --max",
            "research-cli sweep mnist1d learning_rate=1e-4..1e-1 model=cnn --sampler tpe \\",
            "    --pruner median --trials 40 --metric test/accuracy --max",
            "research-cli sweep mnist1d --file sweep.yaml",
            "research-cli sweep mnist1d learning_rate=1e-3,1e-2 model=cnn --on slurm",
            "research-cli sweep mnist1d                     # lists the sweeps",
            "research-cli sweep mnist1d --show NAME --against OTHER",
        )
    )(sweep)
    return app


def sweep(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="Paper to train.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT] [key=values ...]",
            help="Experiment of the paper, and what to vary: a list (width=64,128), a range "
            "(learning_rate=1e-4..1e-1, logarithmic if its ends are 100 times apart; :log or "
            ":linear says so), evenly spaced values of a range (1e-4..1e-1:4), or one value for "
            "all. seed=0..4: the seeds of every setting.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="Read what to vary, and these options, from a file; words and options on the "
            "command line win. Its keys: vary (config key: values), seeds, experiment, name, "
            "sampler, sampler_seed, pruner, trials, metric, direction (max or min).",
            show_default=False,
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Metric to make best; by default that of the claims, where they settle it.",
            show_default=False,
        ),
    ] = None,
    direction: Annotated[
        bool | None,
        typer.Option(
            "--max/--min",
            help="Whether large or small is good; by default as the claims say.",
            show_default=False,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="grid, random, tpe, gp or qmc; by default grid where all is listed, else random.",
            show_default=False,
        ),
    ] = None,
    pruner: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Stop bad trials early: median, halving or hyperband, judged by the metric that "
            "the run of the first seed logs; the other seeds are trained after it.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of settings to try, 20 by default; a later start may raise it.",
            show_default=False,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Trainings at once; by default one per core, or per GPU where they use one, and "
            "on a cluster as many as it has room for.",
            show_default=False,
        ),
    ] = None,
    on: Annotated[
        Literal["local", "slurm"],
        typer.Option(
            help="Where to train: `local`, on this machine; `slurm`, as a job array of a cluster."
        ),
    ] = "local",
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the sweep, and group of its runs; by default made of the keys, the same "
            "for the same sweep.",
            show_default=False,
        ),
    ] = None,
    sampler_seed: Annotated[
        int | None,
        typer.Option(metavar="N", help="Seed of the sampler, 0 by default.", show_default=False),
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Show an existing sweep; train nothing.", show_default=False
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Another sweep of the paper, whose best of n trials is drawn beside this one's. "
            "May be repeated.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and show what would be trained; train nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Train an experiment in many settings and find the best: grid, random, Optuna's samplers.

    Each trial is one setting, trained with every seed; it is judged by the mean of the metric.
    Seeds are repetitions of a setting, never a search dimension, whatever the sampler. Every run
    is a run as `train` makes it, in the group of the sweep's name. A sweep that was stopped or
    killed goes on when the same command is given again: runs are resumed, failed trials are tried
    once more. On a cluster the jobs of a sweep that was stopped go on, and the same command waits
    for them; tpe, gp and pruners, which learn from what came out, work on this machine only. The
    exit code is 1 if a trial has failed.
    """
    from research_train import (
        draw_sweep,
        find_member,
        installed_members,
        read_outcome,
        read_sweep,
        run_sweep,
        sweep_names,
    )

    from research_cli.sweep.screens import Progress, outcome_lines, plan_line, sweeps_lines

    member = find_member(paper, installed_members())
    given = words or []
    if show is not None:
        if given or file:
            raise UsageError("--show shows a sweep as it is: give neither words nor --file")
        outcome = read_outcome(member.name, show)
    elif not given and file is None:
        sweeps = [read_sweep(member.name, each) for each in sweep_names(member.name)]
        listed = [each.model_dump(mode="json") for each in sweeps]
        output({"sweeps": listed}, json, sweeps_lines(member.name, sweeps))
        return
    else:
        options = {
            "metric": metric,
            "direction": None if direction is None else "max" if direction else "min",
            "sampler": sampler,
            "sampler_seed": sampler_seed,
            "pruner": pruner,
            "name": name,
            "trials": trials,
        }
        experiment, planned, limit = _planned(member, given, file, options, on)
        if not json:
            say(plan_line(planned, limit))
        if dry_run:
            return
        with Progress(quiet=json) as progress:
            outcome = run_sweep(planned, experiment, limit, jobs, progress.say, progress.show, on)
    others = [read_outcome(member.name, other) for other in against or []]
    files = draw_sweep(outcome, others)
    if json:
        print_json({**outcome.as_json(), "figures": list(map(str, files))})
    else:
        for line in outcome_lines(outcome, others):
            print_line(line)
        for path in files:
            print(path)
    unfinished = show is None and "running" in outcome.states  # somebody has ended its job
    if "failed" in outcome.states or unfinished:
        raise typer.Exit(1)


def _planned(
    member: "Member",
    words: list[str],
    file: Path | None,
    given: Mapping[str, object],
    on: Literal["local", "slurm"],
) -> "tuple[Experiment, Sweep, int | None]":
    """The experiment, the sweep, and its number of trials; words and options win over the file."""
    from research_train import SweepOptions, plan_sweep, read_options
    from research_train.command_line.word_guesses import named_experiment

    names = [word for word in words if "=" not in word]
    options = read_options(file) if file is not None else SweepOptions()
    options = options.model_copy(update={k: v for k, v in given.items() if v is not None})
    if options.experiment is not None:
        names = names or [options.experiment]
    experiment = named_experiment(member, names, f"research-cli sweep {member.name}")
    planned = plan_sweep(
        experiment,
        options.varied,
        [word for word in words if "=" in word],
        name=options.name,
        sampler=options.sampler,
        sampler_seed=options.sampler_seed or 0,
        pruner=options.pruner or "none",
        metric=options.metric,
        direction=options.direction,
        on=on,
    )
    return experiment, planned, options.trials
