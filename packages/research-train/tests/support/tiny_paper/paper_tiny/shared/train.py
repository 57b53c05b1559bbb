import os
import time

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer, accuracy, classification_loss, mean_loss
from torch import Tensor, nn

from paper_tiny.shared.config import Config
from paper_tiny.train import load

SHOWN: list[int] = []  # how many examples each forward pass of an evaluation had


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

    def measure() -> Metrics:
        """On numbers of examples that two processes can't halve."""
        odd = data[0][:49], data[1][:49]
        one = data[0][:1], data[1][:1]
        return {**accuracy(model, odd), **mean_loss(model, odd), **accuracy(model, one, "one")}

    def evaluate() -> Metrics:
        if os.environ.get("RANK") == "1" and trainer.step == config.fail_evaluation_at:
            raise ValueError("the second process can't evaluate")
        SHOWN.clear()
        return {**measure(), "shown": float(sum(SHOWN))}

    def note(module: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        SHOWN.append(len(inputs[0]))

    model.register_forward_hook(note)
    trainer = Trainer(run, model, optimizer, loss, clip_norm=1.0)
    batches = Batches(data, config.batch_size, shuffle=True, seed=config.seed, drop_last=True)
    trainer.fit(batches, evaluate)
    return measure()
