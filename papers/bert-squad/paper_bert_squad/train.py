"""Fine-tuning as in section 4.2: AdamW, its step size rising and then falling linearly."""

import torch
from research_data import Batches, tokenize_questions
from research_models import parameter_count
from research_train import Metrics, Run, Trainer, linear, parameter_groups, warm_up
from torch import Tensor, nn

from paper_bert_squad.answers import BERT, INPUTS, SQUAD, scores
from paper_bert_squad.config import Config
from paper_bert_squad.model import Reader


def loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean cross entropy of the first and the last token of the answer."""
    *inputs, start, end = batch
    return torch.nn.functional.cross_entropy(model(*inputs), torch.stack([start, end], 1))


def train(config: Config, run: Run) -> Metrics:
    """Fine-tune BERT; returns its scores and the number of its parameters."""
    model = Reader(run.asset(BERT)).train()
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01), config.learning_rate, eps=1e-6)
    schedule = warm_up(config.warm_up, linear(config.steps - config.warm_up))
    trainer = Trainer(run, model, optimizer, loss, schedule=schedule, clip_norm=1.0)
    _, windows = tokenize_questions(
        SQUAD, BERT, "train", config.length, config.stride, first=config.questions
    )
    columns = (*INPUTS, "start", "end")
    data = Batches.from_arrow(windows, columns, config.batch_size, shuffle=True, seed=config.seed)
    trainer.fit(data)
    return {**scores(model, config, run), "parameters": parameter_count(model)}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
