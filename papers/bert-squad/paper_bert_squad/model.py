"""BERT with a head for where an answer starts and one for where it ends (section 4.2)."""

from pathlib import Path
from typing import Any

from research_data import AssetError
from research_models import initialisation, load_pretrained
from torch import Tensor, nn
from transformers import AutoTokenizer


class Reader(nn.Module):
    """folder: of a published BERT, with its own tokenizer, else AssetError is raised."""

    def __init__(self, folder: Path):
        super().__init__()
        bert: Any = load_pretrained(folder)
        tokens, vocabulary = len(AutoTokenizer.from_pretrained(folder)), bert.config.vocabulary
        if tokens != vocabulary:
            raise AssetError(f"{folder}: a tokenizer of {tokens} tokens, a model of {vocabulary}")
        self.encoder = bert.transformer
        self.heads = nn.Linear(bert.config.width, 2)
        initialisation.bert(self.heads)

    def forward(self, tokens: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """Score each token as start and as end, (batch, length, 2), from (batch, length)."""
        return self.heads(self.encoder.hidden(tokens.long(), mask.bool(), segments.long()))
