"""Count parameters by shape; nothing is trained."""

import torch
from research_models import BertMaskedLM, TransformerConfig, parameter_count
from research_train import Metrics, Run
from torch import nn

from paper_bert_squad.parameters.config import Config


def train(config: Config, run: Run) -> Metrics:
    """The parameters of the encoder without its pooler, and of the heads for start and end."""
    with torch.device("meta"):  # shapes alone, no memory
        bert = BertMaskedLM(
            TransformerConfig(
                vocabulary=config.vocabulary,
                width=config.width,
                layers=config.layers,
                heads=config.heads,
                length=config.length,
                causal=False,
                activation="gelu",
                norm_eps=1e-12,
                norm_place="post",
                embedding_norm=True,
                segments=2,
            )
        )
        heads = nn.Linear(config.width, 2)
    return {"parameters": parameter_count(bert.transformer) + parameter_count(heads)}


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
