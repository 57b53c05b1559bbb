"""What learning a learning rate can vary."""

from pydantic import PositiveFloat, PositiveInt
from research_train import TrainConfig


class Config(TrainConfig):
    """One curve of Figure 6. `steps` counts updates of the learning rate, each after a training."""

    start: PositiveFloat
    """Learning rate to begin with."""
    outer_learning_rate: PositiveFloat
    """Step size of the learning rate's own SGD."""
    inner_steps: PositiveInt
    """Updates of the classifier in one training, of `batch_size` examples each."""
