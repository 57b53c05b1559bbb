"""`research-cli run rerun`, `export` and `import`: repeat a run, or pass it to somebody else."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from research_data.errors import UsageError
from research_data.shown import say

from research_cli.printing import Json, examples, output
from research_cli.run.command import Run

if TYPE_CHECKING:
    from research_train.history.rerun_outcome import LineDifference, Rerun
    from research_train.record.record import RunRecord

# Modules that only one command needs are imported inside it, so that `--help` answers at once.

Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def with_exchange(app: typer.Typer) -> typer.Typer:
    """Add the commands to `research-cli run`; returns it."""
    app.command(
        epilog=examples("research-cli run rerun first-try", "... rerun 20261124-081530 --json")
    )(rerun)
    app.command(
        epilog=examples(
            "research-cli run export first-try",
            "research-cli run export first-try for-anna.tar --checkpoints all",
            "research-cli run export first-try --hf my-model    # for from_pretrained",
            "research-cli run export first-try --ro-crate my-crate",
        )
    )(export)
    app.command(name="import", epilog=examples("research-cli run import for-anna.tar"))(import_)
    return app


def rerun(run: Run, quiet: Quiet = False, json: Json = False) -> None:
    """Run a completed run again from its archived code; compare.

    Compares the weights byte by byte, and the metrics line by line.

    Uses the environment of the run's own lock and the data it recorded; later changes to the paper
    don't matter. The new run's parent is the old one. Exits with 0 if everything is equal, with 1
    if not.
    """
    from research_train import find_any_run
    from research_train import rerun as run_again

    outcome = run_again(find_any_run(run), quiet)
    value = {
        **vars(outcome),
        "run": str(outcome.run.folder),
        "parent": str(outcome.parent.folder),
        "first_differences": [vars(each) for each in outcome.first_differences],
        "equal": outcome.equal,
        "reasons": outcome.reasons,
    }
    output(value, json, _rerun_lines(outcome))
    if not outcome.equal:
        raise typer.Exit(1)


def export(
    run: Run,
    path: Annotated[
        Path | None,
        typer.Argument(help="File to write, or the folder for it; by default the one you are in."),
    ] = None,
    checkpoints: Annotated[
        Literal["last", "all", "none"] | None,
        typer.Option(
            help="Checkpoints whose weights to include; by default the last.", show_default=False
        ),
    ] = None,
    hf: Annotated[
        Path | None,
        typer.Option(
            "--hf",
            metavar="FOLDER",
            help="Write the model alone into this new folder, as the Hugging Face hub and "
            "transformers read it, with a model card.",
            show_default=False,
        ),
    ] = None,
    ro_crate: Annotated[
        Path | None,
        typer.Option(
            "--ro-crate",
            metavar="FOLDER",
            help="Write the run into this new folder as an RO-Crate, which describes each file in "
            "JSON-LD: for Zenodo, WorkflowHub and others that read it.",
            show_default=False,
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write a run as one file, for a colleague or an archive.

    The file holds record, metrics, code, weights, and the sha256 of each: what it takes to look at
    the run, verify it and run it again. `run import` reads it.

    With --hf the model is made by the paper's `evaluate`; one that transformers knows is there for
    `from_pretrained(FOLDER)`.
    """
    from research_train import export_run, find_any_run

    if hf is not None:
        if path is not None or checkpoints is not None or ro_crate is not None:
            raise UsageError("--hf FOLDER takes neither a file, --checkpoints nor --ro-crate")
        _export_model(run, hf, json)
        return
    found = find_any_run(run)
    if ro_crate is not None:
        if path is not None:
            raise UsageError("--ro-crate FOLDER takes no file")
        from research_train import export_crate

        folder = export_crate(found, ro_crate, checkpoints or "last")
        output({"folder": str(folder)}, json, [str(folder)])
        return
    file = export_run(found, path or Path(), checkpoints or "last", quiet=quiet)
    needs = _needs(found.record) if found.record else []
    value = {"file": str(file), "size": file.stat().st_size, "needs": needs}
    output(value, json, [str(file), *(f"a rerun needs {need}" for need in needs)])


def _export_model(run: str, folder: Path, json: bool) -> None:
    from research_train import export_model, find_any_run

    made = export_model(find_any_run(run), folder)
    if made.why_plain:
        say(f"note: {made.why_plain}. The folder holds the run's own model.safetensors and a card.")
    value = {"folder": str(made.folder), "transformers": made.why_plain is None}
    output({**value, "why_plain": made.why_plain}, json, [str(made.folder)])


def import_(
    path: Annotated[Path, typer.Argument(help="File that `run export` wrote.")],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Import a run that `run export` wrote.

    Every byte is verified before any of it is visible. Running the run again executes its code: do
    that only for people you trust.
    """
    from research_train import import_run

    imported = import_run(path, quiet=quiet)
    value = {"run": str(imported.run.folder), "already_here": imported.already_here}
    here = ["already here, with the same content"] if imported.already_here else []
    output(value, json, [str(imported.run.folder), *here])


def _needs(record: "RunRecord") -> list[str]:
    """What a rerun reads that an export leaves out: the data, and the run it started from."""
    data = [f"{name}@{revision[:12]}" for name, revision in record.assets.items()]
    return data + ([f"the run {record.parent}"] if record.parent else [])


def _rerun_lines(outcome: "Rerun") -> Iterable[str]:
    yield str(outcome.run.folder)
    yield f"parent   {outcome.parent.id}"
    for name, equal in outcome.weights.items():
        yield f"weights  {name}: {'the same bytes' if equal else 'DIFFERENT bytes'}"
    same = outcome.lines - outcome.different_lines
    yield f"metrics  {same} of {outcome.lines} lines equal, ignoring time, speed/* and memory/*"
    for each in outcome.first_differences:
        yield f"  line {each.line}: {_shown_difference(each)}"
    if more := outcome.different_lines - len(outcome.first_differences):
        yield f"  and {more} more lines"
    for name, (then, now) in outcome.metrics.items():
        yield f"final    {name} was {then}, is {now}"
    for remark in outcome.remarks:
        yield f"note     {remark}"
    if outcome.equal:
        yield f"equal: the rerun of {outcome.parent.id} gave the same weights and metrics"
        return
    yield "NOT equal. The following differ and may be the reason:"
    yield from (f"  {reason}" for reason in outcome.reasons)


def _shown_difference(each: "LineDifference") -> str:
    if each.then is None or each.now is None:
        return "only in the new run" if each.then is None else "missing from the new run"
    parts = (f"{name} was {then}, is {now}" for name, (then, now) in each.numbers.items())
    return f"step {each.then['step']:.0f}: {'; '.join(parts)}"
