"""Toy models and their inputs ("Demonstrating superposition")."""

from itertools import product

import torch
from torch import Tensor, nn

from paper_superposition.config import Config


class ToyModels(nn.Module):
    """relu(W^T W x + b), several of them with weights of their own, at first Glorot's normal."""

    def __init__(self, config: Config):
        super().__init__()
        models = len(cells(config))
        self.weight = nn.Parameter(torch.empty(models, config.features, config.hidden))
        self.bias = nn.Parameter(torch.zeros(models, 1, config.features))
        self.relu = config.relu
        for weight in self.weight:
            nn.init.xavier_normal_(weight)

    def forward(self, x: Tensor) -> Tensor:
        """x: (models, batch, features). Returns the same shape."""
        y = torch.baddbmm(self.bias, x @ self.weight, self.weight.mT)
        return y.relu() if self.relu else y


def cells(config: Config) -> list[tuple[float, float]]:
    """Importance and density of each model."""
    return list(product(config.importances, config.densities))


def draw_features(densities: Tensor, features: int) -> Tensor:
    """Features that are 0, or with a probability of `densities` uniform between 0 and 1.

    densities: (models, batch). Returns (models, batch, features).
    """
    x = torch.rand(*densities.shape, features, device=densities.device)
    return torch.where(x < densities[..., None], x / densities[..., None], 0.0)
