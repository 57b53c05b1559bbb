"""Training by AdamW on windows drawn from the plays, with clipped gradients."""

import torch
from research_data import Batches
from research_models import Transformer, parameter_count
from research_train import (
    Metrics,
    Run,
    Trainer,
    classification_loss,
    cosine,
    fused,
    mean_loss,
    parameter_groups,
    warm_up,
)

from paper_shakespeare_gpt.config import Config
from paper_shakespeare_gpt.data import Windows, load_text, windows
from paper_shakespeare_gpt.model import new_model


def train(config: Config, run: Run) -> Metrics:
    """Train the GPT; returns its loss on all of the validation part, in nats a character."""
    text = load_text(run.asset("tinyshakespeare") / "input.txt")
    seen, unseen = windows(text.numbers, config.context)
    model = new_model(config, len(text.characters))
    groups = parameter_groups(model, config.weight_decay)
    optimizer = torch.optim.AdamW(
        groups, config.learning_rate, betas=(0.9, 0.99), **fused(run.device)
    )
    falling = cosine(config.steps - config.warm_up, end=0.1)
    trainer = Trainer(
        run,
        model,
        optimizer,
        classification_loss,
        schedule=warm_up(config.warm_up, falling),
        clip_norm=1.0,
    )
    batches = Batches(seen, config.batch_size, shuffle=True, seed=config.seed, drop_last=True)
    trainer.fit(batches, lambda: mean_loss(model, unseen, "validation"))
    return measured(config, model, unseen)


def measured(config: Config, model: Transformer, unseen: Windows) -> Metrics:
    """The validation loss, and millions of parameters as nanoGPT counts: without positions."""
    counted = parameter_count(model) - config.context * config.width
    return {**mean_loss(model, unseen, "validation"), "parameters": counted / 1e6}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
