"""GPT-2 (Radford et al. 2019): a pre-norm decoder with learned positions and a tied head.

transformers' GPT2LMHeadModel. Its linear weights are stored transposed.
"""

from typing import Any

from research_models.transformer import Transformer, TransformerConfig
from research_models.weights.conversion import (
    PLAIN_ACTIVATIONS,
    Family,
    Settings,
    Transposed,
    written_name,
)


def config_from(settings: Settings) -> TransformerConfig:
    """The config that a config.json means. Raises ValueError for values that are not handled."""
    settings.only(
        scale_attn_weights=True,
        scale_attn_by_inverse_layer_idx=False,
        reorder_and_upcast_attn=False,
        n_ctx=settings.size("n_positions", 1024),
    )
    settings.without_effect(
        *("summary_activation", "summary_first_dropout", "summary_proj_to_labels"),
        *("summary_type", "summary_use_proj"),
        # Which older versions of transformers wrote, and none reads.
        *("n_special", "predict_special_tokens", "output_past", "_num_labels"),
    )
    dropout = settings.share("resid_pdrop", 0.1)
    embedding_dropout = settings.share("embd_pdrop", 0.1)
    return TransformerConfig(
        vocabulary=settings.size("vocab_size", 50257),
        width=settings.size("n_embd", 768),
        layers=settings.size("n_layer", 12),
        heads=settings.size("n_head", 12),
        length=settings.size("n_positions", 1024),
        hidden=settings.optional_size("n_inner"),
        activation=settings.activation("activation_function", "gelu_new", PLAIN_ACTIVATIONS),
        norm_eps=settings.number("layer_norm_epsilon", 1e-5),
        dropout=dropout,
        embedding_dropout=None if embedding_dropout == dropout else embedding_dropout,
        attention_dropout=settings.share("attn_pdrop", 0.1),
    )


def settings_from(config: TransformerConfig) -> dict[str, Any]:
    """The keys of config.json for a config."""
    shared = config.embedding_dropout is None
    return {
        "vocab_size": config.vocabulary,
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_positions": config.length,
        "n_inner": config.hidden,
        "activation_function": written_name(PLAIN_ACTIVATIONS, config.activation),
        "layer_norm_epsilon": config.norm_eps,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout if shared else config.embedding_dropout,
        "attn_pdrop": config.attention_dropout,
        "tie_word_embeddings": True,
    }


NAMES = {
    "embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "stack.layers.{}.attention_norm": "transformer.h.{}.ln_1",
    "stack.layers.{}.attention.query_key_value": Transposed("transformer.h.{}.attn.c_attn"),
    "stack.layers.{}.attention.output": Transposed("transformer.h.{}.attn.c_proj"),
    "stack.layers.{}.feed_forward_norm": "transformer.h.{}.ln_2",
    "stack.layers.{}.feed_forward.input": Transposed("transformer.h.{}.mlp.c_fc"),
    "stack.layers.{}.feed_forward.output": Transposed("transformer.h.{}.mlp.c_proj"),
    "stack.norm": "transformer.ln_f",
}

GPT2 = Family(
    "gpt2",
    "GPT2LMHeadModel",
    config_from,
    settings_from,
    Transformer,
    NAMES,
    prefix="transformer.",
    copies={"lm_head.weight": "transformer.wte.weight"},
    # The causal mask, which old files hold.
    unused=(r"transformer\.h\.\d+\.attn\.(masked_)?bias",),
)
