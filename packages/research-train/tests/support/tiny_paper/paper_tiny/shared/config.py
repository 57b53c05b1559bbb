from pydantic import NonNegativeFloat, NonNegativeInt
from research_train import TrainConfig


class Config(TrainConfig):
    sleep: NonNegativeFloat
    """Seconds that every step takes longer."""
    die_at: NonNegativeInt
    """Step at which the second process ends without a word; 0 is never."""
    fail_at: NonNegativeInt
    """Step at which the second process raises an error; 0 is never."""
    fail_evaluation_at: NonNegativeInt
    """Step at which the evaluation of the second process raises an error; 0 is never."""
