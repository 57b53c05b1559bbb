"""BERT (Devlin et al., arXiv 1810.04805): a post-norm encoder with a head for masked tokens.

transformers' BertForMaskedLM.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from research_models import initialisation
from research_models.feed_forward import PLAIN
from research_models.transformer import Transformer, TransformerConfig
from research_models.weights.conversion import (
    PLAIN_ACTIVATIONS,
    Family,
    Settings,
    written_name,
)


class BertMaskedLM(nn.Module):
    """BERT's encoder, and its head: which token stands at each place (arXiv 1810.04805, 3.1).

    The head is a linear layer, the activation and LayerNorm, then the token embedding's transpose
    plus a bias for each token (google-research/bert, `get_masked_lm_output`).

    config: a plain activation; `weights.bert.config_from` gives that of a published model.

    Parameters: those of `transformer`, and width^2 + 3 width + vocabulary. Initialisation: BERT's,
    `initialisation.bert`. Departs from the paper in that there is no head for the next sentence.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        if config.activation not in PLAIN or not config.tied or config.causal:
            raise ValueError(
                "BERT has a plain activation, tied=True and causal=False, got "
                f"{config.activation!r}, tied={config.tied}, causal={config.causal}"
            )
        if config.logit_scale != 1.0:
            raise ValueError(f"BERT's head has logit_scale=1.0, got {config.logit_scale}")
        self.config = config
        self.transformer = Transformer(config)
        self.transform = nn.Linear(config.width, config.width)
        self.activation = PLAIN[config.activation]
        self.norm = nn.LayerNorm(config.width, config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        initialisation.bert(self)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Score the token at each place: logits, (batch, length, vocabulary).

        Arguments are those of Transformer.forward.
        """
        hidden = self.hidden(tokens, mask, segments, positions)
        scored = self.norm(self.activation(self.transform(hidden)))
        return functional.linear(scored, self.transformer.embedding.weight, self.bias)

    def hidden(
        self,
        tokens: Tensor,
        mask: Tensor | None = None,
        segments: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """The encoder's output, (batch, length, width): what a head for another task reads."""
        return self.transformer.hidden(tokens, mask, segments, positions)


def config_from(settings: Settings) -> TransformerConfig:
    """The config that a config.json means. Raises ValueError for values that are not handled."""
    settings.only(position_embedding_type="absolute")
    settings.without_effect(
        *("classifier_dropout", "directionality", "pooler_fc_size", "pooler_num_attention_heads"),
        *("pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
    )
    return TransformerConfig(
        vocabulary=settings.size("vocab_size", 30522),
        width=settings.size("hidden_size", 768),
        layers=settings.size("num_hidden_layers", 12),
        heads=settings.size("num_attention_heads", 12),
        length=settings.size("max_position_embeddings", 512),
        causal=False,
        hidden=settings.size("intermediate_size", 3072),
        activation=settings.activation("hidden_act", "gelu", PLAIN_ACTIVATIONS),
        norm_eps=settings.number("layer_norm_eps", 1e-12),
        norm_place="post",
        embedding_norm=True,
        segments=settings.size("type_vocab_size", 2),
        dropout=settings.share("hidden_dropout_prob", 0.1),
        attention_dropout=settings.share("attention_probs_dropout_prob", 0.1),
    )


def settings_from(config: TransformerConfig) -> dict[str, Any]:
    """The keys of config.json for a config."""
    return {
        "vocab_size": config.vocabulary,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.length,
        "intermediate_size": config.filled().hidden,
        "hidden_act": written_name(PLAIN_ACTIVATIONS, config.activation),
        "layer_norm_eps": config.norm_eps,
        "type_vocab_size": config.segments,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "tie_word_embeddings": True,
    }


OURS, THEIRS = "transformer.stack.layers.{}", "bert.encoder.layer.{}"
NAMES: dict[str, str | tuple[str, ...]] = {
    "transformer.embedding": "bert.embeddings.word_embeddings",
    "transformer.position_embedding": "bert.embeddings.position_embeddings",
    "transformer.segment_embedding": "bert.embeddings.token_type_embeddings",
    "transformer.embedding_norm": "bert.embeddings.LayerNorm",
    f"{OURS}.attention.query_key_value": (
        f"{THEIRS}.attention.self.query",
        f"{THEIRS}.attention.self.key",
        f"{THEIRS}.attention.self.value",
    ),
    f"{OURS}.attention.output": f"{THEIRS}.attention.output.dense",
    f"{OURS}.attention_norm": f"{THEIRS}.attention.output.LayerNorm",
    f"{OURS}.feed_forward.input": f"{THEIRS}.intermediate.dense",
    f"{OURS}.feed_forward.output": f"{THEIRS}.output.dense",
    f"{OURS}.feed_forward_norm": f"{THEIRS}.output.LayerNorm",
    "transform": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "bias": "cls.predictions.bias",
}

BERT = Family(
    "bert",
    "BertForMaskedLM",
    config_from,
    settings_from,
    BertMaskedLM,
    NAMES,
    copies={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    # The head for the next sentence, which Google's files hold, and a buffer of old files.
    unused=(
        r"bert\.pooler\.dense\.(weight|bias)",
        r"cls\.seq_relationship\.(weight|bias)",
        r"bert\.embeddings\.position_ids",
    ),
    # Of the norms in Google's files.
    old_endings={".gamma": ".weight", ".beta": ".bias"},
)
