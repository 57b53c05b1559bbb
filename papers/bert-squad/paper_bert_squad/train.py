"""Fine-tuning as in section 4.2: AdamW, its step size rising and then falling linearly."""

import torch
from research_data import Batches
from research_models import parameter_count
from research_train import Metrics, Run, Trainer, linear, parameter_groups, warm_up
from torch import Tensor
from torch.nn.functional import cross_entropy

from paper_bert_squad.answers import score_answers
from paper_bert_squad.config import Config
from paper_bert_squad.data import BERT, load_squad
from paper_bert_squad.model import Reader, load_reader

COLUMNS = "input_ids", "token_type_ids", "attention_mask", "start", "end"


def loss(model: Reader, batch: tuple[Tensor, ...]) -> Tensor:
    """Mean cross entropy of the first and the last token of the answer."""
    *inputs, start, end = batch
    return cross_entropy(model(*inputs), torch.stack([start, end], 1))


def train(config: Config, run: Run) -> Metrics:
    """Fine-tune BERT; returns its scores in percent, and the number of its parameters."""
    model = load_reader(run.asset(BERT)).train()
    groups = parameter_groups(model, weight_decay=0.01)
    optimizer = torch.optim.AdamW(groups, config.learning_rate, eps=1e-6)
    schedule = warm_up(config.warm_up, linear(config.steps - config.warm_up))
    trainer = Trainer(run, model, optimizer, loss, schedule=schedule, clip_norm=1.0)
    _, windows = load_squad(config, run, "train")
    batches = Batches.from_arrow(
        windows, COLUMNS, config.batch_size, shuffle=True, seed=config.seed
    )
    trainer.fit(batches)
    return {**score_answers(model, config, run), "parameters": parameter_count(model)}
