"""Training as in section 5: one function a step, and a projection onto [-1, 1] after each."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer
from torch import Tensor, nn

from paper_amsgrad.config import Config
from paper_amsgrad.problem import SLOPES, Point


def train(config: Config, run: Run) -> Metrics:
    """Follow one optimizer; returns where x ends."""
    point = Point()
    optimizer = torch.optim.Adam(
        point.parameters(),
        lr=config.step_size,
        betas=(config.beta1, config.beta2),
        amsgrad=config.optimizer == "amsgrad",
    )

    def loss(point: nn.Module, batch: tuple[Tensor]) -> Tensor:
        return point(*batch).mean()

    def step(trainer: Trainer, batch: tuple[Tensor]) -> Tensor:
        value = trainer.train_step(batch)
        with torch.no_grad():
            point.x.clamp_(-1, 1)
        return value

    def where() -> Metrics:
        return {"x": point.x.item()}

    trainer = Trainer(
        run, point, optimizer, loss, schedule=lambda step: (step + 1) ** -0.5, step=step
    )
    trainer.fit(Batches((SLOPES,), config.batch_size), where)
    return where()


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
