"""BERT with a head for where an answer starts and one for where it ends (section 4.2)."""

from pathlib import Path

from research_data import AssetError
from research_models import BertMaskedLM, initialisation, load_pretrained
from torch import Tensor, nn


class Reader(nn.Module):
    """bert: a published model, whose head for masked tokens is left out."""

    def __init__(self, bert: BertMaskedLM):
        super().__init__()
        self.encoder = bert.transformer
        self.heads = nn.Linear(bert.config.width, 2)
        initialisation.bert(self.heads)

    def forward(self, tokens: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """Score each token as start and as end, (batch, length, 2), from (batch, length)."""
        hidden = self.encoder.hidden(tokens.long(), mask.bool(), segments.long())
        return self.heads(hidden)


def load_reader(folder: Path) -> Reader:
    """The published model with new heads. Raises AssetError unless its tokenizer is its own."""
    from transformers import AutoTokenizer  # slow, like in research_data

    bert, tokens = load_pretrained(folder), len(AutoTokenizer.from_pretrained(folder))
    if not isinstance(bert, BertMaskedLM) or tokens != bert.config.vocabulary:
        size = bert.config.vocabulary if isinstance(bert, BertMaskedLM) else "no BERT"
        raise AssetError(f"{folder}: the tokenizer has {tokens} tokens, the model {size}")
    return Reader(bert)
