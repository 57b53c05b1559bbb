"""Turn errors inside a step into messages that say what to try."""

import torch

from research_train.errors import OutOfMemoryError, RunError
from research_train.experiment.config import TrainConfig
from research_train.loop.training_log import peak_memory


def explained(
    error: RuntimeError, step: int, config: TrainConfig, device: torch.device
) -> OutOfMemoryError | RunError | None:
    """The error to raise in place of one of torch's; None where there is nothing to add."""
    if "finished reduction in the prior iteration" in str(error):
        return RunError(
            f"step {step}: some parameters got no gradient, which several processes must allow: "
            "Trainer(..., ddp={'find_unused_parameters': True})"
        )
    # The CPU's allocator raises a plain RuntimeError.
    if not isinstance(error, torch.OutOfMemoryError) and "alloc" not in str(error):
        return None
    return OutOfMemoryError(
        f"out of memory at step {step}: {peak_memory(device) / 1e9:.2f} GB at the peak, batch_size "
        f"{config.batch_size} in {config.accumulate} parts. Try "
        f"accumulate={config.accumulate * 2} (the update is the same), precision=bfloat16, or a "
        "smaller batch_size."
    )
