import random

import numpy as np
import torch
from research_data import Batches, StatefulDataLoader, load_arrays
from research_train import (
    Metrics,
    Run,
    Trainer,
    accuracy,
    classification_loss,
    cosine,
    parameter_groups,
    warm_up,
)
from torch import Tensor, nn

from paper_tiny.full.config import Config
from paper_tiny.full.kill import count, install


class Noisy(torch.utils.data.Dataset):
    """Points with noise of every generator, drawn where the example is made."""

    def __init__(self, inputs: Tensor, targets: Tensor):
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = random.random() + np.random.normal() + torch.randn(4)
        return self.inputs[index] + 0.1 * noise, self.targets[index]


def train(config: Config, run: Run) -> Metrics:
    install()
    arrays = load_arrays(run.asset("tiny-points"))
    data = torch.from_numpy(arrays["inputs"]), torch.from_numpy(arrays["targets"])
    model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 2))
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.1), lr=0.02, fused=config.fused)
    rate = warm_up(5, cosine(31))

    def schedule(step: int) -> float:
        if config.compile == "step":
            count("step")
        return rate(step)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        if config.compile == "step":  # Python runs in the first step alone
            return classification_loss(model, batch)
        count("step")
        random.random(), np.random.normal()  # a loss may draw from any of them
        return classification_loss(model, batch) * (1 + 0.01 * np.random.normal())

    def evaluate() -> Metrics:
        count("evaluation")
        return accuracy(model, data)

    trainer = Trainer(
        run, model, optimizer, loss,
        schedule=schedule, clip_norm=0.5, ema_decay=0.9,
    )  # fmt: skip
    if config.source == "memory":
        batches = Batches(data, config.batch_size, shuffle=True, seed=config.seed)
    else:
        batches = StatefulDataLoader(
            Noisy(*data), config.batch_size, shuffle=True, seed=config.seed, num_workers=2
        )
    trainer.fit(batches, evaluate)
    return accuracy(model, data)
