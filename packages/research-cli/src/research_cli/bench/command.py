"""`research-cli bench`: time a paper's own step against a plain PyTorch loop."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from research_data.errors import UsageError

from research_cli.printing import Json, examples, print_json

if TYPE_CHECKING:
    from research_train import Benchmark, RunSpeed
    from research_train.benchmarking.result import Change
    from research_train.experiment.members import Experiment

# Modules that only one command needs are imported inside it, so that `--help` answers at once.


def with_bench(app: typer.Typer) -> typer.Typer:
    """Add the command to `research-cli`; returns it."""
    app.command(
        epilog=examples(
            "research-cli bench mnist1d model=cnn",
            "research-cli bench mnist1d double-descent --threads 1 --ways bare,trainer",
            "research-cli bench mnist1d model=cnn --picture stages.png",
            "research-cli bench mnist1d model=cnn --json > before.json",
            "research-cli bench mnist1d model=cnn --compare before.json",
            "research-cli bench mnist1d model=cnn --compare 20261127-081530    # a run",
        )
    )(bench)
    return app


def bench(
    paper: Annotated[str, typer.Argument(metavar="PAPER", help="Paper whose step to time.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXPERIMENT] [key=value ...]",
            help="Experiment of the paper, and config keys as `train` takes them.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(
            metavar="N,N",
            help="Numbers of CPU threads; by default 1 and the number of cores.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(metavar="N", help="Number of rounds; each way is timed once in every round."),
    ] = 7,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Steps to time a way for in a round; by default as many as take a second.",
            show_default=False,
        ),
    ] = None,
    ways: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Ways of stepping; by default all: bare,trainer,fused,compiled.",
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw where the time of a step goes into this file.",
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|RUN",
            help="Compare with what an earlier bench on this machine wrote with --json, or with "
            "the speed of a run.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Time a paper's own training step: a plain loop, the Trainer, fused, compiled.

    All of them step the paper's own model, loss, optimizer and batches; they take turns, and every
    other round runs in the reverse order. `bare` is a plain PyTorch loop, `trainer` has metrics,
    trackers and checkpoints on, `fused` is the trainer with the optimizer's fused kernel,
    `compiled` is compile=step. A ratio is to `bare` in the same round. Nothing is written among the
    paper's runs.
    """
    if picture is not None and picture.suffix != ".png":
        raise UsageError(f"--picture {str(picture)!r}: the name of the picture must end in .png")
    numbers = _numbers(threads)
    # Read when torch is imported; its profiler warns of memory that was there before it began.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from research_train import bench as time_steps
    from research_train import find_member, installed_members
    from research_train.command_line.word_guesses import named_experiment

    from research_cli.bench.screens import print_bench, save_picture

    given = words or []
    names = [word for word in given if "=" not in word]
    member = find_member(paper, installed_members())
    experiment = named_experiment(member, names, f"research-cli bench {paper}")
    before = _earlier(experiment, compare) if compare is not None else None
    if before is not None and not numbers:
        numbers = before.numbers
    overrides = [word for word in given if "=" in word]
    chosen = ways.split(",") if ways is not None else []
    made = time_steps(experiment, overrides, numbers, repeats, steps, chosen, before, quiet=json)
    changes = _changes(before, made) if before is not None else []
    if picture is not None:
        save_picture(made, picture)
    if json:
        from dataclasses import asdict

        compared = {"changes": [asdict(change) for change in changes]} if before else {}
        print_json({**made.as_json(), **compared})
        return
    print_bench(made, before, changes)
    if picture is not None:
        print(picture.absolute())


def _earlier(experiment: "Experiment", named: str) -> "Benchmark | RunSpeed":
    """An earlier benchmark in a file, or the speed of a run."""
    from research_train import read_benchmark, run_speed
    from research_train.record.finding import find_run

    if Path(named).is_file() or named.endswith(".json"):
        return read_benchmark(Path(named))
    return run_speed(find_run(experiment.member.name, named))


def _changes(before: "Benchmark | RunSpeed", made: "Benchmark") -> "list[Change]":
    from research_train import RunSpeed, compare_benchmarks, compare_with_run

    if isinstance(before, RunSpeed):
        return compare_with_run(before, made)
    return compare_benchmarks(before, made)


def _numbers(threads: str | None) -> list[int]:
    """The numbers of threads that are listed; none if the option isn't given."""
    if threads is None:
        return []
    try:
        numbers = [int(each) for each in threads.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1 or len(set(numbers)) < len(numbers):
        raise UsageError(f"--threads {threads!r}: write different numbers, 1 or more: 1,2")
    return numbers
