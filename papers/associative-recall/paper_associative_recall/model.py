"""Two layers of attention, or of gated convolutions, without feed-forward layers (Figure 2)."""

from functools import partial

from research_models import BaseConv, Transformer, TransformerConfig

from paper_associative_recall.config import Config


def recall_model(config: Config) -> Transformer:
    """The Transformer with one head, or BaseConv in place of its attention."""
    made_of = TransformerConfig(
        vocabulary=config.vocabulary,
        width=config.width,
        layers=2,
        heads=1,
        length=config.length,
        hidden=0,
        positions="learned" if config.mixer == "attention" else "none",
        embedding_dropout=0.1,
    )
    if config.mixer == "attention":
        return Transformer(made_of)
    long = partial(BaseConv, kernel_size=config.length, implicit=True)
    return Transformer(made_of, [BaseConv, long])
