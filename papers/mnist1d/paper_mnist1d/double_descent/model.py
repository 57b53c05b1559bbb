"""The MLP of Figure 5, and its errors."""

from research_models import MLP
from research_train import Metrics, accuracy
from torch import nn

from paper_mnist1d.data import Data


def perceptron(width: int) -> MLP:
    """An MLP with two hidden layers of this width, as in the authors' notebook."""
    return MLP([40, width, width, 10])


def errors(model: nn.Module, data: Data) -> Metrics:
    """Error rates on the training examples, with their noisy labels, and on the test examples."""
    train, test = accuracy(model, data.train, "train"), accuracy(model, data.test, "test")
    return {
        "train/error": 1 - train["train/accuracy"],
        "test/error": 1 - test["test/accuracy"],
    }
