"""Training as in the authors' notebook: AdamW, its inputs drawn anew at every step."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer
from torch import Tensor, nn

from paper_superposition.config import Config
from paper_superposition.geometry import measured
from paper_superposition.model import ToyModels, cells, draw_features


def train(config: Config, run: Run) -> Metrics:
    """Train the toy models; returns how each of them arranges its features."""
    importances, densities = torch.tensor(cells(config)).T
    weights = (importances[:, None, None] ** torch.arange(config.features)).to(run.device)

    def loss(models: nn.Module, batch: tuple[Tensor]) -> Tensor:
        x = draw_features(batch[0].T, config.features)
        return (weights * (x - models(x)).square()).mean((1, 2)).sum()

    models = ToyModels(config)
    optimizer = torch.optim.AdamW(models.parameters(), lr=config.learning_rate, fused=True)
    # An example is the density of its features, for each of the models.
    batches = Batches((densities.repeat(config.batch_size, 1),), config.batch_size)
    Trainer(run, models, optimizer, loss).fit(batches)
    return measured(config, models)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
