"""All equations a o b = c modulo p, split at random (2201.02177, section 2)."""

import torch
from research_data import modular_arithmetic
from torch import Tensor

from paper_grokking.config import Config

Equations = tuple[Tensor, Tensor]  # tokens a, b, =, (equations, 3), and answers c, (equations,)


def equations(config: Config) -> tuple[Equations, Equations]:
    """Those to train on, and those to test on."""
    made = modular_arithmetic(config.modulus, config.operation, config.train_share, config.seed)
    of = {name: torch.from_numpy(array) for name, array in made.items()}
    return (of["train_inputs"], of["train_targets"]), (of["test_inputs"], of["test_targets"])
