"""Test error of a trained ResNet, and its mistakes by class."""

from dataclasses import replace

import torch
from research_models import parameter_count
from research_train import Evaluation, Run, classification_report

from paper_resnet_cifar10.config import Config
from paper_resnet_cifar10.data import load_cifar10
from paper_resnet_cifar10.model import Classifier
from paper_resnet_cifar10.train import errors


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate a trained ResNet on the test images."""
    _, test, names = load_cifar10(run.asset("uoft-cs/cifar10"))
    model = run.load_weights(Classifier(config.depth, torch.zeros(3, 32, 32)))
    report = classification_report(model, test, names)
    parameters = parameter_count(model) / 1e6
    return replace(report, metrics={**errors(model, test=test), "parameters": parameters})


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
