"""The learning rate that was reached."""

from research_train import Evaluation, Run

from paper_mnist1d.learning_rate.config import Config
from paper_mnist1d.learning_rate.model import Training


def evaluate(config: Config, run: Run) -> Evaluation:
    """The end of a curve of Figure 6."""
    training = run.load_weights(Training(config.start, config.inner_steps, config.batch_size))
    return Evaluation({"learning_rate": training.learning_rate.item()})


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
