"""Multi-query associative recall (section 4): every key that comes again asks for its value."""

import torch
from research_data import associative_recall
from torch import Tensor

from paper_associative_recall.config import Config

# Tokens (sequences, length), and there the values asked for, else -100, which doesn't count.
Sequences = tuple[Tensor, Tensor]


def sequences(config: Config) -> tuple[Sequences, Sequences]:
    """Those to train on, and those to test on."""
    sizes = {"vocabulary", "length", "pairs", "train_examples", "test_examples", "seed"}
    made = associative_recall(**config.model_dump(include=sizes))
    of = {name: torch.from_numpy(array) for name, array in made.items()}
    return (of["train_inputs"], of["train_targets"]), (of["test_inputs"], of["test_targets"])
