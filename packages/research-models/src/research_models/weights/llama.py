"""Llama (Touvron et al., arXiv 2302.13971, section 2.2): pre-norm, RMSNorm, SwiGLU, rotary.

transformers' LlamaForCausalLM; grouped queries as in Llama 2 (arXiv 2307.09288).
"""

from typing import Any

from research_models.transformer import Transformer, TransformerConfig
from research_models.weights.conversion import (
    GATED_ACTIVATIONS,
    Family,
    Settings,
    is_number,
    written_name,
)


def config_from(settings: Settings) -> TransformerConfig:
    """The config that a config.json means. Raises ValueError for values that are not handled."""
    settings.only(mlp_bias=False, pretraining_tp=1, rope_interleaved=False)
    settings.without_effect("is_llama_config", "transformers.js_config")  # SmolLM's
    return decoder_config(
        settings,
        vocabulary=settings.size("vocab_size", 32000),
        width=settings.size("hidden_size", 4096),
        heads=settings.size("num_attention_heads", 32),
        length=settings.size("max_position_embeddings", 2048),
        hidden=settings.size("intermediate_size", 11008),
        key_value_heads=settings.optional_size("num_key_value_heads"),
        head_width=settings.optional_size("head_dim"),
    )


def decoder_config(settings: Settings, **sizes: Any) -> TransformerConfig:
    """What Llama and its successors have in common; sizes are those with other defaults."""
    settings.only(attention_bias=False)
    return TransformerConfig(
        layers=settings.size("num_hidden_layers", 32),
        activation=settings.activation("hidden_act", "silu", GATED_ACTIVATIONS),
        norm="rms",
        norm_eps=settings.number("rms_norm_eps", 1e-6),
        positions="rotary",
        rotary_base=rotary_base(settings),
        bias=False,
        tied=settings.flag("tie_word_embeddings", False),
        attention_dropout=settings.share("attention_dropout", 0.0),
        **sizes,
    )


def rotary_base(settings: Settings) -> float:
    """Theta, of `rope_parameters` (since transformers 5) or of `rope_theta`.

    Raises ValueError for angles that are scaled or interpolated in any way, and for two thetas.
    """
    settings.only(rope_scaling=None, partial_rotary_factor=1.0)
    rope = settings.table("rope_parameters")
    for key, value in rope.items():
        if key != "rope_theta" and (key, value) not in UNSCALED.items():
            raise ValueError(
                f"{settings.source}: {key} = {value!r} in rope_parameters is not handled, only "
                f"rope_theta and {', '.join(f'{name} = {one!r}' for name, one in UNSCALED.items())}"
            )
    theta = settings.take("rope_theta", rope.get("rope_theta", 10_000.0))
    if rope.get("rope_theta", theta) != theta:
        raise ValueError(
            f"{settings.source}: rope_theta = {theta!r}, but {rope['rope_theta']!r} in "
            "rope_parameters"
        )
    if not is_number(theta) or theta <= 0:
        raise ValueError(f"{settings.source}: rope_theta = {theta!r} must be a positive number")
    return float(theta)


UNSCALED = {"rope_type": "default", "partial_rotary_factor": 1.0}
"""Keys of rope_parameters, with the only value that is handled."""


def settings_from(config: TransformerConfig) -> dict[str, Any]:
    """The keys of config.json for a config."""
    full = config.filled()
    return {
        "vocab_size": full.vocabulary,
        "hidden_size": full.width,
        "num_hidden_layers": full.layers,
        "num_attention_heads": full.heads,
        "num_key_value_heads": full.key_value_heads,
        "head_dim": full.head_width,
        "max_position_embeddings": full.length,
        "intermediate_size": full.hidden,
        "hidden_act": written_name(GATED_ACTIVATIONS, full.activation),
        "rms_norm_eps": full.norm_eps,
        "rope_parameters": {"rope_theta": full.rotary_base, "rope_type": "default"},
        "attention_dropout": full.attention_dropout,
        "tie_word_embeddings": full.tied,
    }


ATTENTION = "model.layers.{}.self_attn"
NAMES: dict[str, str | tuple[str, ...]] = {
    "embedding": "model.embed_tokens",
    "stack.layers.{}.attention_norm": "model.layers.{}.input_layernorm",
    "stack.layers.{}.attention.query_key_value": (
        f"{ATTENTION}.q_proj",
        f"{ATTENTION}.k_proj",
        f"{ATTENTION}.v_proj",
    ),
    "stack.layers.{}.attention.output": f"{ATTENTION}.o_proj",
    "stack.layers.{}.feed_forward_norm": "model.layers.{}.post_attention_layernorm",
    "stack.layers.{}.feed_forward.input": (
        "model.layers.{}.mlp.gate_proj",
        "model.layers.{}.mlp.up_proj",
    ),
    "stack.layers.{}.feed_forward.output": "model.layers.{}.mlp.down_proj",
    "stack.norm": "model.norm",
    "head": "lm_head",
}
COPIES = {"lm_head.weight": "model.embed_tokens.weight"}

LLAMA = Family(
    "llama",
    "LlamaForCausalLM",
    config_from,
    settings_from,
    Transformer,
    NAMES,
    copies=COPIES,
    # Frequencies of the rotary positions, which old files hold.
    unused=(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq",),
)
