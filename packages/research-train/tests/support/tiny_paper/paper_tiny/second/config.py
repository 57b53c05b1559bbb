from research_train import TrainConfig


class Config(TrainConfig):
    answer: int
    """What it returns."""
