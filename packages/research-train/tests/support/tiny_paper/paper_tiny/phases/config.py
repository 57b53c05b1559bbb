from research_train import TrainConfig


class Config(TrainConfig):
    first: int
    """Steps of the first phase."""
    own: bool
    """Whether the step is the paper's own."""
