"""Test accuracy, as in Table 1, and class by class."""

from research_train import Evaluation, Run, classification_report

from paper_mnist1d.config import Config
from paper_mnist1d.data import CLASSES, load_mnist1d
from paper_mnist1d.models import MODELS


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate a trained classifier of Table 1 on the test examples."""
    data = load_mnist1d(run.asset("mnist1d"), config.shuffled)
    model = run.load_weights(MODELS[config.model]())
    return classification_report(model, data.test, CLASSES)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
