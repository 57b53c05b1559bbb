"""Count parameters; nothing is trained."""

import torch
from research_models import parameter_count
from research_train import Metrics, Run

from paper_resnet_cifar10.model import Classifier
from paper_resnet_cifar10.parameters.config import Config


def train(config: Config, run: Run) -> Metrics:
    """The parameters of a ResNet that are learned, in millions."""
    model = Classifier(config.depth, torch.zeros(3, 32, 32))
    return {"parameters": parameter_count(model) / 1e6}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
