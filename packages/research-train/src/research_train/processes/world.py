"""Tell which of how many processes of a training this one is."""

import os
from dataclasses import dataclass

from research_data.errors import UsageError


@dataclass(frozen=True)
class World:
    """Which process this is, of all (rank) and on this machine (local_rank); size: of all."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0


def this_world() -> World:
    """The World that torchrun or `train --nproc` set in the environment.

    Raises UsageError if only a part of it is set.
    """
    said = os.environ
    if int(said.get("WORLD_SIZE", "1")) > 1 and "RANK" not in said:
        raise UsageError(
            f"WORLD_SIZE is {said['WORLD_SIZE']} in the environment, but RANK isn't set: use "
            "`train --nproc N` or torchrun, or unset WORLD_SIZE"
        )
    rank, size = int(said.get("RANK", "0")), int(said.get("WORLD_SIZE", "1"))
    return World(rank, size, int(said.get("LOCAL_RANK", "0")))
