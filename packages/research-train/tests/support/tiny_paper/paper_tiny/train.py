import time

import torch
from research_data import Batches, load_arrays
from research_train import Metrics, Run, Trainer, accuracy, classification_loss
from torch import Tensor, nn

from paper_tiny.config import Config


def load(run: Run) -> tuple[Tensor, Tensor]:
    arrays = load_arrays(run.asset("tiny-points"))
    return torch.from_numpy(arrays["inputs"]), torch.from_numpy(arrays["targets"])


def make_model() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 2))


def train(config: Config, run: Run) -> Metrics:
    data = load(run)
    model = make_model()
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.optimizer.learning_rate, betas=config.optimizer.betas
    )

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        time.sleep(config.sleep)
        nan = config.nan_at and trainer.step + 1 == config.nan_at
        return classification_loss(model, batch) * (float("nan") if nan else 1.0)

    trainer = Trainer(run, model, optimizer, loss)
    batches = Batches(data, config.batch_size, shuffle=True, seed=config.seed)
    trainer.fit(batches, lambda: accuracy(model, data))
    return accuracy(model, data)
