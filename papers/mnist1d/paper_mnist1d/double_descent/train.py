"""Training as in section 5.2: SGD with momentum, 500 epochs on noisy labels, no early stopping."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer, classification_loss

from paper_mnist1d.data import load_mnist1d
from paper_mnist1d.double_descent.config import Config
from paper_mnist1d.double_descent.model import errors, perceptron


def train(config: Config, run: Run) -> Metrics:
    """Train an MLP of one width; returns its errors at the last step."""
    data = load_mnist1d(run.asset("mnist1d-noisy"))
    model = perceptron(config.width)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=config.learning_rate, momentum=config.momentum
    )
    trainer = Trainer(run, model, optimizer, loss=classification_loss)
    trainer.fit(
        Batches(data.train, config.batch_size, shuffle=True, seed=config.seed),
        lambda: errors(model, data),
    )
    return errors(model, data)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
