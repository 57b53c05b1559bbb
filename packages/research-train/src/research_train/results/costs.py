"""What a claim's evidence cost: trained parameters, time, and number of runs."""

import json
import statistics
from collections.abc import Sequence
from math import prod
from pathlib import Path

from pydantic import BaseModel, FiniteFloat
from safetensors import SafetensorError, safe_open

from research_train.record.record import checkpoint_folders
from research_train.record.summary import RunSummary

# As research_train.state names them, which imports torch: two seconds that a `reproduce` with
# nothing to train has no use for.
MODEL, STATE = "model.safetensors", "state.json"


class Cost(BaseModel):
    """What the runs behind a claim cost.

    parameters: the numbers of trained parameters that occur, ascending; empty where no run tells.
    run_seconds: median time of a run; seconds: of all runs, one after another. tried: number of
    runs of the claim's settings that were started, whatever became of them.
    """

    parameters: list[int] = []
    run_seconds: FiniteFloat | None = None
    seconds: FiniteFloat | None = None
    tried: int | None = None


def cost_of(runs: Sequence[RunSummary], tried: int | None) -> Cost:
    """The cost of a claim. runs: its evidence."""
    took = [run.seconds for run in runs if run.seconds is not None]
    counts = {count for run in runs if (count := trained_parameters(run)) is not None}
    return Cost(
        parameters=sorted(counts),
        run_seconds=statistics.median(took) if took else None,
        seconds=sum(took) if took else None,
        tried=tried,
    )


def trained_parameters(run: RunSummary) -> int | None:
    """How many parameters a run trained; None where no checkpoint tells.

    Those that the last checkpoint's optimizers have: frozen ones don't count, and shared ones count
    once. A paper's own metric of them may have any unit.
    """
    checkpoints = checkpoint_folders(run.folder)
    if not checkpoints:
        return None
    try:
        return _optimized(checkpoints[-1])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None  # of an older version, or damaged, which a resume reports


def _optimized(checkpoint: Path) -> int:
    """The size of the parameters that the groups of a checkpoint's optimizers name."""
    settings = json.loads((checkpoint / STATE).read_bytes())["optimizer"]
    optimizers = settings["several"].values() if "several" in settings else [settings]
    names = {name for each in optimizers for group in each["names"] for name in group}
    with safe_open(checkpoint / MODEL, "numpy") as stored:
        return sum(prod(stored.get_slice(name).get_shape()) for name in names)
