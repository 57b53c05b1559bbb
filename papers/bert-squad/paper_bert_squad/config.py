"""What fine-tuning BERT on SQuAD can vary."""

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """Section 4.2."""

    learning_rate: PositiveFloat
    """Highest step size of AdamW."""
    warm_up: NonNegativeInt
    """Steps until it is reached."""
    length: PositiveInt
    """Tokens of a window: a question and a part of its context."""
    stride: NonNegativeInt
    """Tokens that neighbouring windows of a context share."""
    longest_answer: PositiveInt
    """Tokens of the longest answer that is looked for."""
    n_best: PositiveInt
    """Answers of each question to keep in `n_best.json`."""
    questions: PositiveInt | None
    """Questions of each split to use, the first ones; null for all."""
