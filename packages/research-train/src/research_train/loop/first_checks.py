"""Refuse a training that can't work, before its first step."""

from collections.abc import Mapping, Sized
from typing import Any

from research_data.batches.source import BatchSource
from research_data.shown import say
from torch import nn

from research_train.errors import RunError
from research_train.record.run import Run
from research_train.state.moving_state import start_training_mode

DDP_OPTIONS = (
    "broadcast_buffers",
    "bucket_cap_mb",
    "find_unused_parameters",
    "gradient_as_bucket_view",
    "static_graph",
)
OWN_STEP_DDP_OPTIONS = ("broadcast_buffers", "find_unused_parameters")


def checked_ddp_options(options: Mapping[str, Any], own_step: bool) -> dict[str, Any]:
    """Options for DistributedDataParallel. Raises RunError for an unknown or unsupported one.

    own_step: with a step of the paper's own, fewer options are supported.
    """
    known = OWN_STEP_DDP_OPTIONS if own_step else DDP_OPTIONS
    if unknown := options.keys() - set(known):
        why = "with step=, the options are" if own_step else "the options are"
        raise RunError(f"ddp: no option {', '.join(sorted(unknown))}; {why} {', '.join(known)}")
    return dict(options)


def check_before_first_step(
    run: Run, model: nn.Module, batches: BatchSource[Any], steps: int
) -> bool:
    """Check a `fit`, and prepare its batches and model; returns whether parts differ in size.

    The batches will be on the run's device, each cut to this process's part. A model that is in
    evaluation mode as a whole is put into training mode. Raises RunError for a fit that can't work.
    """
    _refuse_wrong_fit(batches, steps)
    if run.fit_step is not None:
        raise RunError("fit was called while another fit of this run is running")
    size = run.world.size
    try:
        batches.to(run.device).shard(run.world.rank, size)
    except ValueError as error:  # too few examples for so many processes
        raise RunError(str(error)) from error
    for name in start_training_mode(model):
        if run.world.rank == 0:
            say(
                f"note: {name or 'the model'} has parameters to train, but stays in evaluation "
                "mode (no dropout, fixed norm statistics); .train() before `fit` changes that"
            )
    rest = 0 if batches.drop_last else batches.examples % batches.batch_size
    return any(each % size for each in (batches.batch_size, rest))


def _refuse_wrong_fit(batches: object, steps: object) -> None:
    """Raise RunError for data whose position can't be saved (list, generator, DataLoader)."""
    if not isinstance(batches, BatchSource):
        count = len(batches) if isinstance(batches, Sized) else "an unknown number of"
        raise RunError(
            f"fit: {steps} steps were asked for on a {type(batches).__name__} with {count} "
            "batches, but a resume could not find its position in it. Use Batches, a "
            "StatefulDataLoader, or a BatchSource"
        )
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise RunError(f"fit: steps = {steps!r}, but it must be a whole number, 0 or more")
