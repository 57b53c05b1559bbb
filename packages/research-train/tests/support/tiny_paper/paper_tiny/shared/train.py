import os
import time

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer, accuracy, classification_loss
from torch import Tensor, nn

from paper_tiny.shared.config import Config
from paper_tiny.train import load


def train(config: Config, run: Run) -> Metrics:
    data = load(run)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        time.sleep(config.sleep)
        if os.environ.get("RANK") == "1":
            if trainer.step + 1 == config.die_at:
                os.kill(os.getpid(), 9)
            if trainer.step + 1 == config.fail_at:
                raise ValueError("the second process had enough")
        return classification_loss(model, batch)

    trainer = Trainer(run, model, optimizer, loss, clip_norm=1.0)
    batches = Batches(data, config.batch_size, shuffle=True, seed=config.seed, drop_last=True)
    trainer.fit(batches, lambda: accuracy(model, data))
    return accuracy(model, data)
