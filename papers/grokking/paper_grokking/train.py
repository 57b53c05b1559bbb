"""Training long beyond overfitting (2201.02177, appendix A.1.2)."""

import torch
from research_data import Batches
from research_train import Metrics, Run, Trainer, classification_loss, warm_up

from paper_grokking.config import Config
from paper_grokking.data import equations
from paper_grokking.model import OneLayerTransformer
from paper_grokking.progress import accuracies, progress


def train(config: Config, run: Run) -> Metrics:
    """Train on some of the equations; returns when which accuracy was reached."""
    seen, unseen = equations(config)
    model = OneLayerTransformer(config.modulus)
    rate, betas, decay = config.learning_rate, (0.9, 0.98), config.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas, weight_decay=decay, fused=True)
    trainer = Trainer(run, model, optimizer, classification_loss, schedule=warm_up(10))
    batches = Batches(seen, config.batch_size, shuffle=True, seed=config.seed)
    trainer.fit(batches, lambda: accuracies(model, seen, unseen))
    return {**accuracies(model, seen, unseen), **progress(run, model)}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
