"""`research-cli run plot`: draw learning curves of runs into a figure file."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from research_data.errors import UsageError
from research_data.shown import first_few, say

from research_cli.printing import Json, examples, output
from research_cli.run.command import Runs

if TYPE_CHECKING:
    from research_train.history.curves import Format, RunGroup
    from research_train.record.summary import RunSummary

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

ENDINGS: dict[str, "Format"] = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def with_plot(app: typer.Typer) -> typer.Typer:
    """Add the command to `research-cli run`; returns it."""
    app.command(
        epilog=examples(
            "research-cli run plot first-try",
            "research-cli run plot FIRST SECOND --metric train/loss --metric test/accuracy",
            "research-cli run plot FIRST SECOND THIRD --by optimizer.lr --out curves.pdf",
        )
    )(plot)
    return app


def plot(
    names: Runs,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Metric to draw, one panel each; by default the first loss or accuracy that all "
            "runs have. May be repeated.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Figure to write: .png, .svg or .pdf. By default a PNG in the run's figures, or "
            "for several runs in `comparisons` among their paper's outputs.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Draw one curve for each value of this config key, over all runs that have it.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Draw the learning curves of runs into a figure file.

    Runs that differ only in their seed are one curve, their mean. The band around a mean is its
    95 % interval over the seeds; on a logarithmic axis, which losses have, it goes from the lowest
    to the highest seed. Labels say what differs in the config.
    """
    from research_train import draw_groups, find_any_run, seed_groups

    if out is not None and out.suffix not in ENDINGS:
        raise UsageError(f"--out {str(out)!r}: the name of a figure must end in .png, .svg or .pdf")
    # A run that is given twice, for example by its name and by its id, counts once.
    runs = list({run.folder: run for run in map(find_any_run, names)}.values())
    groups = seed_groups(runs, by)
    file = (out or default_file(runs, metric or [], by)).expanduser().absolute()
    of = "seeds" if by is None else "runs"
    [written] = draw_groups(groups, metric or [], file.with_suffix(""), [ENDINGS[file.suffix]], of)
    for line in remarks(runs, groups, by):
        say(line)
    curves = {group.label: [run.id for run in group.runs] for group in groups}
    output({"file": str(written), "curves": curves}, json, [str(written)])


def default_file(runs: "Sequence[RunSummary]", metrics: Sequence[str], by: str | None) -> Path:
    """Where a figure is written without --out: a different file for different runs.

    Never a file that a paper's own evaluate saves, such as `figures/test-accuracy.png`.
    """
    what = "-".join(["curves", *(metric.replace("/", "-") for metric in metrics)])[:80]
    if len(runs) == 1:
        return runs[0].folder / "figures" / f"{what}.png"
    ids = " ".join([*(run.id for run in runs), by or ""])
    which = hashlib.sha256(ids.encode()).hexdigest()[:8]
    name = f"{what}-{runs[0].id}-and-{len(runs) - 1}-more-{which}.png"
    return runs[0].folder.parent / "comparisons" / name


def remarks(
    runs: "Sequence[RunSummary]", groups: "Sequence[RunGroup]", by: str | None
) -> Iterable[str]:
    """What a reader of the figure should know: runs left out, settings pooled."""
    from research_train.history.comparison import differing
    from research_train.history.curves import BESIDE_THE_POINT

    drawn = {run.folder for group in groups for run in group.runs}
    left = [run for run in runs if run.folder not in drawn]
    if left and by is not None:
        yield f"{len(left)} of {len(runs)} runs left out, as they have no {by}: {_few(left)}"
    else:
        for run in left:
            yield f"{run.id} is left out: a run of the same setting and seed is drawn"
    for group in groups:
        differ = differing([run.config for run in group.runs])
        keys = [key for key in differ if key not in BESIDE_THE_POINT]
        if keys and len(group.runs) > 1:
            yield f"{group.label} pools runs that also differ in {', '.join(keys)}"
        unfinished = [run.id for run in group.runs if run.status != "completed"]
        if unfinished and len(group.runs) > 1:
            yield (
                f"{group.label}: the mean ends where the shortest run does, and "
                f"{', '.join(unfinished)} did not complete"
            )


def _few(runs: "Sequence[RunSummary]") -> str:
    """The ids of the first few runs."""
    return first_few([run.id for run in runs], 3)
