"""Pre-training, then fine-tuning of the same body under a head that is drawn between them."""

import os

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer, accuracy, classification_loss
from torch import Tensor, nn

from paper_tiny.phases.config import Config
from paper_tiny.train import load


def own_step(trainer: Trainer, batch: tuple[Tensor, Tensor]) -> Tensor:
    loss = trainer.loss(trainer.model, batch)
    loss.backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return loss.detach()


def train(config: Config, run: Run) -> Metrics:
    data = load(run)
    body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.0 if config.own else 0.1))

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        if trainer.step + 1 == int(os.environ.get("KILL_AT", "0")):
            os.kill(os.getpid(), 9)
        return classification_loss(model, batch)

    for rate, steps in ((0.1, config.first), (0.01, None)):
        model = nn.Sequential(body, nn.Linear(8, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        step = own_step if config.own else None
        trainer = Trainer(run, model, optimizer, loss, schedule=lambda s: 0.99**s, step=step)
        batches = Batches(data, config.batch_size, shuffle=True, seed=config.seed)
        trainer.fit(batches, lambda: accuracy(model, data), steps=steps)  # noqa: B023
        run.log(trainer.step, {"between/accuracy": accuracy(model, data)["test/accuracy"]})
    return accuracy(model, data)
