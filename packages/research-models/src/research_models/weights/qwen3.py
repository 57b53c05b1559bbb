"""Qwen3 (arXiv 2505.09388, section 2): Llama's layers with norms of queries and keys.

transformers' Qwen3ForCausalLM, the dense models.
"""

from dataclasses import replace

from research_models.transformer import Transformer, TransformerConfig
from research_models.weights.conversion import Family, Settings
from research_models.weights.llama import ATTENTION, COPIES, NAMES, decoder_config, settings_from


def config_from(settings: Settings) -> TransformerConfig:
    """The config that a config.json means. Raises ValueError for values that are not handled."""
    layers = settings.size("num_hidden_layers", 32)
    settings.only(use_sliding_window=False)
    settings.without_effect("sliding_window", "max_window_layers")  # without that
    if settings.take("layer_types", None) is not None:
        settings.only(layer_types=["full_attention"] * layers)
    config = decoder_config(
        settings,
        vocabulary=settings.size("vocab_size", 151936),
        width=settings.size("hidden_size", 4096),
        heads=settings.size("num_attention_heads", 32),
        length=settings.size("max_position_embeddings", 32768),
        hidden=settings.size("intermediate_size", 22016),
        key_value_heads=settings.optional_size("num_key_value_heads", 32),
        head_width=settings.size("head_dim", 128),
    )
    return replace(config, query_key_norm=True)


QWEN3 = Family(
    "qwen3",
    "Qwen3ForCausalLM",
    config_from,
    settings_from,
    Transformer,
    NAMES
    | {
        "stack.layers.{}.attention.query_gain": f"{ATTENTION}.q_norm.weight",
        "stack.layers.{}.attention.key_gain": f"{ATTENTION}.k_norm.weight",
    },
    copies=COPIES,
)
