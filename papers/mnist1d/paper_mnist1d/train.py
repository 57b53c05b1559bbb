"""Training as in section 4: Adam, batches of 100 in their order, 6,000 steps."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer, accuracy, classification_loss

from paper_mnist1d.config import Config
from paper_mnist1d.data import load_mnist1d
from paper_mnist1d.models import MODELS


def train(config: Config, run: Run) -> Metrics:
    """Train one classifier of Table 1; returns its test accuracy at the last step."""
    data = load_mnist1d(run.asset("mnist1d"), config.shuffled)
    model = MODELS[config.model]()
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)
    trainer = Trainer(run, model, optimizer, loss=classification_loss)
    trainer.fit(Batches(data.train, config.batch_size), lambda: accuracy(model, data.test))
    return accuracy(model, data.test)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
