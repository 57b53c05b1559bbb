"""Errors of one width, a point of Figure 5."""

from research_train import Evaluation, Run

from paper_mnist1d.data import load_mnist1d
from paper_mnist1d.double_descent.config import Config
from paper_mnist1d.double_descent.model import errors, perceptron


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate a trained MLP on its noisy training labels and on the test examples."""
    data = load_mnist1d(run.asset("mnist1d-noisy"))
    return Evaluation(errors(run.load_weights(perceptron(config.width)), data))


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
