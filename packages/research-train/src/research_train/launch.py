"""The commands `train` and `evaluate`: read the command line and call the paper's function.

uv run --package paper-mnist1d train model=cnn seed=3
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from signal import SIGALRM
from typing import TYPE_CHECKING

from research_data.errors import UsageError
from research_data.shown import print_line, say, shown_metric

from research_train.command_line.edge import Command, at_the_edge
from research_train.errors import Interrupted, MemberError
from research_train.processes.children import end_with_parent
from research_train.processes.collector import collect_as_usual, collect_rarely
from research_train.processes.hash_seed import start_with_fixed_hashes
from research_train.processes.srun import join_tasks, refuse_tasks
from research_train.record.log_file import LogFile, copy_output

if TYPE_CHECKING:
    import argparse

    from research_train.command_line.usage import CommandParser
    from research_train.evaluating import Evaluation
    from research_train.experiment.members import Experiment
    from research_train.processes.world import World
    from research_train.record.run import Run

# Imported where used: what reads members and configs (0.2 s, which a process that starts again
# would spend twice), and record/run.py and others that need torch (seconds, after all checks).


def train_command() -> int:
    """The console script `train`."""
    code = _run(_train)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # The interpreter's shutdown would end torch.distributed's threads and abort the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def evaluate_command() -> int:
    """The console script `evaluate`."""
    return _run(_evaluate)


def _run(command: Command) -> int:
    start_with_fixed_hashes()
    collect_rarely()
    end_with_parent()
    return at_the_edge(command, sys.argv[1:])


def _train(words: Sequence[str]) -> int:
    from research_train.command_line.usage import parse, train_parser

    parser = train_parser()
    options = parse(parser, words)
    if options.on == "slurm":
        from research_train.places.in_a_job import is_job, train_in_job

        if is_job():
            return train_in_job(options, _train)
    if options.nproc is not None:
        refuse_tasks("train --nproc N", ", or leave out --nproc: the tasks are the processes")
    join_tasks()
    log = copy_output()
    experiment, overrides = _what_to_do(parser, options)
    if options.profile is not None and options.profile < 1:
        raise UsageError(f"--profile {options.profile}: at least one step")
    if options.on == "slurm":
        return _submit(options, experiment, overrides)
    from research_train.processes.world import this_world

    world = this_world()
    if options.nproc is not None and world.size == 1:
        if options.nproc < 1:
            raise UsageError(f"--nproc {options.nproc}: at least one process")
        if options.nproc > 1:
            from research_train.processes.several import run_processes

            words = _words_for_each(experiment, words)
            return run_processes(options.nproc, "research_train.launch", words)
    if world.size == 1:
        run = _made_run(options, experiment, overrides, words)
        return _train_and_print(options, experiment, run, log)
    from research_train.processes.messages import joined

    with joined(world):
        _refuse_other_words(world, words)
        run = _shared_run(
            world, lambda: _made_run(options, experiment, overrides, words), experiment
        )
        return _train_and_print(options, experiment, run, log)


def _submit(
    options: "argparse.Namespace", experiment: "Experiment", overrides: Sequence[str]
) -> int:
    """Submit the training to a cluster, and say which job it is."""
    from research_train.places.in_a_job import job_tag
    from research_train.places.submission import submit
    from research_train.processes.world import this_world

    if this_world().size > 1:
        raise UsageError("--on slurm: each process of torchrun would submit a job; use --nproc")
    made = submit(experiment, options, overrides)
    if options.json:
        print(json.dumps({"job": made.job, "log": str(made.log), "code": str(made.code)}))
        return 0
    _say(options, f"job {made.job} runs the code of now: {made.code}")
    _say(options, f"once it has started: research-cli run list --tag {job_tag(made.job)}")
    _say(options, f"what it prints: {made.log}")
    print(made.job)
    return 0


def _made_run(
    options: "argparse.Namespace",
    experiment: "Experiment",
    overrides: Sequence[str],
    words: Sequence[str],
) -> "Run":
    """The run that the words ask for, new or resumed."""
    command = [Path(sys.argv[0]).name, *words]
    if options.resume is None:
        from research_train.training import new_run

        return new_run(
            experiment,
            overrides,
            options.config,
            options.name,
            options.rebuild_data,
            link_data=True,
            quiet=options.quiet,
            command=command,
            group=options.group,
            tags=options.tag,
            note=options.note,
        )
    for option in ("config", "name", "group", "tag", "note"):
        if getattr(options, option):
            raise UsageError(f"--resume keeps the run's own {option}: drop --{option}")
    from research_train.training import resumed_run

    return resumed_run(
        experiment,
        options.resume,
        overrides,
        options.any_code,
        options.rebuild_data,
        command,
    )


def _refuse_other_words(world: "World", words: Sequence[str]) -> None:
    """Raise UsageError where the processes were given different words, such as a seed each."""
    from research_train.processes.messages import gather

    first, *others = gather(list(words), world)
    for rank, other in enumerate(others, start=1):
        if other != first:
            raise UsageError(
                f"the {world.size} processes of one training were given different words: "
                f"`{shlex.join(first)}`, but number {rank} `{shlex.join(other)}`. Give all the "
                "same; for several trainings, use `research-cli sweep`, or `srun -n 1` for each"
            )


def _shared_run(world: "World", make: Callable[[], "Run"], experiment: "Experiment") -> "Run":
    """The run of all processes: made by rank 0, followed by the others."""
    from research_train.processes.messages import share
    from research_train.record.start import join_run

    if world.rank == 0:
        try:
            run = make()
        except BaseException:
            share(None, world)  # the other processes then exit without a message
            raise
        run.world = world
        share([str(run.folder), str(run.resume_from or "")], world)
        return run
    made = share(None, world)
    if made is None:
        sys.exit(1)
    return join_run(Path(made[0]), Path(made[1]) if made[1] else None, experiment, world)


def _words_for_each(experiment: "Experiment", words: Sequence[str]) -> list[str]:
    """The words for each of several processes: without --nproc, and with the paper named."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and word != "--nproc" and not word.startswith("--nproc="):
            kept.append(word)
        skip = word == "--nproc"
    named = any(word == "--paper" or word.startswith("--paper=") for word in kept)
    return kept if named else ["--paper", experiment.member.name, *kept]


def _train_and_print(
    options: "argparse.Namespace", experiment: "Experiment", run: "Run", log: LogFile
) -> int:
    if run.world.rank > 0:
        options.quiet = True  # only the first process prints
    else:
        log.keep_in(run.folder, run.record.attempts[-1].command)
    run.quiet = options.quiet
    _say(options, f"run {run.folder}")
    if options.resume == "" and (newer := _newer_runs(run)):
        _say(options, f"note: this is the last unfinished run; newer ones: {', '.join(newer)}")
    try:
        _train_run(options, experiment, run)
    except Interrupted as stop:
        why = f" after {run.config.max_minutes:g} minutes" if stop.signal == SIGALRM else ""
        again = f"uv run --package {experiment.member.distribution} train"
        name = "" if experiment.name == experiment.member.name else f" {experiment.name}"
        _say(options, f"stopped{why}; go on with: {again}{name} --resume {run.record.id}")
        raise
    if run.world.rank > 0:
        return 0
    metrics = run.record.metrics
    if options.json:
        print(json.dumps({"run": str(run.folder), "status": "completed", "metrics": metrics}))
    else:
        for name, value in metrics.items():
            _say(options, f"{name} = {shown_metric(value)}")
        print(run.folder)
    return 0


def _train_run(options: "argparse.Namespace", experiment: "Experiment", run: "Run") -> None:
    """Train, and with --profile trace some steps."""
    from research_train.training import train_run

    collect_as_usual()
    if options.profile is None:
        train_run(run, experiment)
        return
    from research_train.benchmarking.step_profile import profile_lines, profiled_steps

    with profiled_steps(run, options.profile) as profile:
        train_run(run, experiment)
    for line in profile_lines(profile):
        _say(options, line)


def _newer_runs(run: "Run") -> list[str]:
    """The runs of the same paper that were started after this one."""
    from research_train.record.folders import run_folders

    return [other.name for other in run_folders(run.record.paper) if other.name > run.folder.name]


def _evaluate(words: Sequence[str]) -> int:
    from research_train.command_line.usage import KEY_VALUE, evaluate_parser, parse

    parser = evaluate_parser()
    options = parse(parser, words)
    refuse_tasks("evaluate")
    experiment, overrides = _what_to_do(parser, options)
    if overrides:
        raise UsageError(f"evaluate takes no {KEY_VALUE}: a run is evaluated with its own config")
    from research_data import check_asset

    from research_train.experiment.config_values import load_config
    from research_train.processes.beside import Beside
    from research_train.record.finding import find_run_of
    from research_train.record.folders import CONFIG
    from research_train.record.running_code import changes_since

    folder, record = find_run_of(experiment, options.run, ["completed"])
    config = load_config(experiment, file=folder / CONFIG)
    changes = Beside(lambda: changes_since(record, config, experiment))  # while torch is imported
    from research_train.evaluating import evaluate_run
    from research_train.record.run import Run

    run = Run(folder, record, config)
    for name in record.assets:  # its own revisions, which need not be today's
        check_asset(run.asset(name))
    _say(options, f"run {folder}")
    if changed := changes.result():
        _say(
            options,
            f"warning: evaluated with code that has changed since the run: {', '.join(changed)}",
        )
    collect_as_usual()
    evaluation = evaluate_run(run, experiment)
    _print_evaluation(options, run, evaluation)
    return 0


def _print_evaluation(options: "argparse.Namespace", run: "Run", evaluation: "Evaluation") -> None:
    from research_train.evaluating import evaluation_lines, figures_of

    if options.json:
        print(json.dumps({"run": str(run.folder), "metrics": evaluation.metrics}))
        return
    for line in evaluation_lines(evaluation):
        print_line(line)
    for figure in figures_of(run):
        print(figure)


def _what_to_do(
    parser: "CommandParser", options: "argparse.Namespace"
) -> "tuple[Experiment, list[str]]":
    """The experiment that is meant and the `key=value` words; `--help` ends here."""
    from research_train.command_line.usage import first_line, help_text
    from research_train.command_line.which_paper import which_member
    from research_train.command_line.word_guesses import named_experiment
    from research_train.experiment.members import installed_members
    from research_train.versions.hand_over import running_releases, start_under_requirements
    from research_train.versions.requirements import reached_packages

    names = [word for word in options.words if "=" not in word]
    overrides = [word for word in options.words if "=" in word]
    if names and any(word.startswith("=") or word.endswith("=") for word in overrides):
        raise UsageError("write key=value without spaces around the =")
    try:
        member = which_member(options.paper, installed_members())
        experiment = named_experiment(member, names, parser.prog)
    except MemberError as error:
        if options.help:
            print(f"{help_text(parser, None)}\n\n{error}")
            sys.exit(0)
        raise
    start_under_requirements(member)
    if options.help:
        print(help_text(parser, experiment))
        sys.exit(0)
    if os.environ.get("RANK", "0") == "0":
        _say(options, first_line(experiment, reached_packages(member), running_releases(member)))
    return experiment, overrides


def _say(options: "argparse.Namespace", line: str) -> None:
    if not options.quiet:
        say(line)


if __name__ == "__main__":  # one of several processes, ours or torchrun's
    sys.argv[0] = "train"
    sys.exit(train_command())
