"""When a network has learned, and on how many frequencies its embedding stands."""

import math

import torch
from research_train import Metrics, Run, accuracy, read_metrics
from torch import Tensor

from paper_grokking.data import Equations
from paper_grokking.model import OneLayerTransformer


def accuracies(model: OneLayerTransformer, train: Equations, test: Equations) -> Metrics:
    """Accuracy on the equations to train on and on the others."""
    return {**accuracy(model, train, "train"), **accuracy(model, test, "test")}


def steps_to_99(run: Run, name: str) -> float:
    """The first step at which an accuracy of 99 % was found; NaN for none."""
    lines = read_metrics(run.folder)
    return next((p["step"] for p in lines if (p.get(name) or 0) >= 0.99), None) or math.nan


def frequencies(embedding: Tensor) -> Tensor:
    """Share of the squared norm at each frequency but 0 (2301.05217, section 4.1).

    embedding: (p, width), of the numbers, p odd. Returns ((p - 1) / 2,).
    """
    power = torch.fft.rfft(embedding.double(), dim=0).abs().square().sum(1)[1:]
    return power / power.sum()


def progress(run: Run, model: OneLayerTransformer) -> Metrics:
    """When 99 % were reached, and how many frequencies hold 90 % of the embedding's norm."""
    held = frequencies(model.embedding.weight.detach()[:-1]).sort(descending=True).values.cumsum(0)
    return {
        "train/steps_to_99": steps_to_99(run, "train/accuracy"),
        "test/steps_to_99": steps_to_99(run, "test/accuracy"),
        "embedding/frequencies": float((held < 0.9).sum() + 1),
    }
