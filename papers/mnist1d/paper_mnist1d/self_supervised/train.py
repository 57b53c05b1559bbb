"""Training as in section 5.5: two views of every sequence in a batch find each other."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer
from torch import Tensor, nn

from paper_mnist1d.data import load_mnist1d
from paper_mnist1d.self_supervised.augmentation import augment
from paper_mnist1d.self_supervised.config import Config
from paper_mnist1d.self_supervised.model import SimCLR, info_nce
from paper_mnist1d.self_supervised.probe import probe


def train(config: Config, run: Run) -> Metrics:
    """Train SimCLR without labels; returns the accuracy of a linear probe of each layer."""
    data = load_mnist1d(run.asset("mnist1d"))
    model = SimCLR()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)

    def loss(model: nn.Module, batch: tuple[Tensor]) -> Tensor:
        (x,) = batch
        views = model(augment(x, config)), model(augment(x, config))
        return info_nce(*views, config.temperature)

    trainer = Trainer(run, model, optimizer, loss)
    batches = Batches((data.train.inputs,), config.batch_size, shuffle=True, seed=config.seed)
    trainer.fit(batches)
    return probe(model, data)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
