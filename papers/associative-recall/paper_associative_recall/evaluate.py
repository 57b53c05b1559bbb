"""Accuracy of a trained model on the values that the test sequences ask for."""

from research_train import Evaluation, Run, accuracy

from paper_associative_recall.config import Config
from paper_associative_recall.data import sequences
from paper_associative_recall.model import recall_model


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate a trained model on the test sequences."""
    return Evaluation(accuracy(run.load_weights(recall_model(config)), sequences(config)[1]))


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
