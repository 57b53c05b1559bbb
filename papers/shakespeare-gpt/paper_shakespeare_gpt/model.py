"""The GPT of nanoGPT: GPT-2's architecture without biases."""

from research_models import Transformer, TransformerConfig

from paper_shakespeare_gpt.config import Config


def new_model(config: Config, vocabulary: int) -> Transformer:
    """The GPT of a config; vocabulary: number of characters."""
    return Transformer(
        TransformerConfig(
            vocabulary=vocabulary,
            width=config.width,
            layers=config.layers,
            heads=config.heads,
            length=config.context,
            bias=False,
            dropout=config.dropout,
            attention_dropout=config.dropout,
        )
    )
