"""Training as in section 5.3: SGD on the learning rate, through all of a training with it."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer
from torch import Tensor, nn

from paper_mnist1d.data import load_mnist1d
from paper_mnist1d.learning_rate.config import Config
from paper_mnist1d.learning_rate.model import Training


def train(config: Config, run: Run) -> Metrics:
    """Learn a learning rate; returns its final value."""
    data = load_mnist1d(run.asset("mnist1d"))
    training = Training(config.start, config.inner_steps, config.batch_size)
    optimizer = torch.optim.SGD([training.learning_rate], lr=config.outer_learning_rate)

    def loss(training: nn.Module, examples: tuple[Tensor, Tensor]) -> Tensor:
        return training(*examples)

    def reached() -> Metrics:
        return {"learning_rate": training.learning_rate.item()}

    trainer = Trainer(run, training, optimizer, loss)
    trainer.fit(Batches(data.train, batch_size=len(data.train.inputs)), reached)
    return reached()


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
