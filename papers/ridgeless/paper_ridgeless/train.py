"""Least squares of minimum norm on isotropic Gaussian features (section 3)."""

import torch
from research_train import Metrics, Run

from paper_ridgeless.config import Config


def train(config: Config, run: Run) -> Metrics:
    """Estimate the coefficients of every draw; returns the mean of their risk.

    The risk is the error on a new sample beyond its noise: |estimate - truth|^2, as the features
    are isotropic.
    """
    risks = torch.zeros(config.steps, dtype=torch.float64)
    for draw in range(config.steps):
        truth = torch.randn(config.features, dtype=torch.float64)
        truth *= config.signal**0.5 / truth.norm()
        inputs = torch.randn(config.samples, config.features, dtype=torch.float64)
        noise = config.noise**0.5 * torch.randn(config.samples, dtype=torch.float64)
        estimate = torch.linalg.pinv(inputs) @ (inputs @ truth + noise)  # of minimum norm
        risks[draw] = (estimate - truth).square().sum()
        run.log(draw + 1, {"risk": risks[draw].item()})
    return {"risk": risks.mean().item()}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
