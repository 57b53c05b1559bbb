"""Training by AdamW with a cosine schedule, as for Figure 2."""

import torch
from research_data import Batches
from research_train import (
    Metrics,
    Run,
    Trainer,
    accuracy,
    classification_loss,
    cosine,
    parameter_groups,
)

from paper_associative_recall.config import Config
from paper_associative_recall.data import sequences
from paper_associative_recall.model import recall_model


def train(config: Config, run: Run) -> Metrics:
    """Train one model; returns its accuracy on the values that the test sequences ask for."""
    seen, unseen = sequences(config)
    model = recall_model(config)
    groups = parameter_groups(model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    schedule = cosine(config.steps)
    trainer = Trainer(run, model, optimizer, classification_loss, schedule=schedule)
    batches = Batches(seen, config.batch_size, shuffle=True, seed=config.seed)
    trainer.fit(batches, lambda: accuracy(model, unseen))
    return accuracy(model, unseen)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
