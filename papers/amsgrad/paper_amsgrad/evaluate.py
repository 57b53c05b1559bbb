"""Where x ended."""

from research_train import Evaluation, Run

from paper_amsgrad.config import Config
from paper_amsgrad.problem import Point


def evaluate(config: Config, run: Run) -> Evaluation:
    """x of the last checkpoint; the optimum is -1."""
    return Evaluation({"x": run.load_weights(Point()).x.item()})


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
