"""Two spirals, labels partly wrong: train accuracy says what is memorised, test what is learnt."""

import math

import torch
from research_data import Batches
from research_models import MLP
from research_train import Metrics, Run, Trainer, accuracy, classification_loss
from torch import Tensor

from exploratory_weight_decay_2026_11_24.config import Config


def spirals(examples: int, noise: float) -> tuple[Tensor, Tensor]:
    """Points (examples, 2) on two arms, float32, and the arm of each (examples,), int64."""
    arm = torch.arange(examples) % 2
    turn = 3 * math.pi * torch.rand(examples).sqrt()
    angle = turn + math.pi * arm
    points = torch.stack([angle.cos(), angle.sin()], dim=1) * turn[:, None] / (3 * math.pi)
    points += 0.02 * torch.randn(examples, 2)
    redrawn = torch.rand(examples) < noise
    return points, torch.where(redrawn, torch.randint(2, (examples,)), arm)


def train(config: Config, run: Run) -> Metrics:
    """Train on noisy labels; returns the accuracy on the noisy and on clean held-out points."""
    noisy = spirals(config.examples, config.label_noise)
    clean = spirals(config.examples, noise=0.0)
    model = MLP([2, config.width, config.width, 2])
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )

    def evaluate() -> Metrics:
        return accuracy(model, noisy, "train") | accuracy(model, clean, "test")

    trainer = Trainer(run, model, optimizer, loss=classification_loss)
    trainer.fit(Batches(noisy, config.batch_size, shuffle=True, seed=config.seed), evaluate)
    return evaluate()


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
