"""Tell which of how many processes of a training this one is."""

import os
from dataclasses import dataclass

from research_data.errors import UsageError


@dataclass(frozen=True)
class World:
    """Which of how many processes this one is, here (local_rank) and in all."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def this_world() -> World:
    """What torchrun, or `train --nproc`, says in the environment; half of it is a UsageError."""
    said = os.environ
    if int(said.get("WORLD_SIZE", "1")) > 1 and "RANK" not in said:
        raise UsageError(
            f"WORLD_SIZE is {said['WORLD_SIZE']} in the environment, and RANK isn't set: use "
            "`train --nproc N`, or torchrun, or unset WORLD_SIZE"
        )
    rank, size = int(said.get("RANK", "0")), int(said.get("WORLD_SIZE", "1"))
    return World(rank, size, int(said.get("LOCAL_RANK", "0")))
