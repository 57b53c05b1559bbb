"""What associative recall can vary."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """One model on one size of the task. `seed` also draws the examples."""

    mixer: Literal["attention", "convolution"]
    """What mixes the tokens: attention, or gated convolutions, a short and a long one in turn."""
    width: PositiveInt
    """Features of a token."""
    vocabulary: PositiveInt
    """Tokens: one half of them are keys, the other values."""
    length: PositiveInt
    """Tokens of a sequence."""
    pairs: PositiveInt
    """Pairs of key and value in a sequence, each asked for once."""
    train_examples: PositiveInt
    """Sequences to train on."""
    test_examples: PositiveInt
    """Sequences to test on."""
    learning_rate: PositiveFloat
    """AdamW's largest step size."""
    weight_decay: NonNegativeFloat
    """AdamW's weight decay, of all but biases and gains."""
