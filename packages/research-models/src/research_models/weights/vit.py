"""ViT (Dosovitskiy et al., arXiv 2010.11929): transformers' ViTForImageClassification."""

from typing import Any

from research_models.vit import ViT, ViTConfig
from research_models.weights.conversion import (
    PLAIN_ACTIVATIONS,
    Family,
    Settings,
    written_name,
)


def config_from(settings: Settings) -> ViTConfig:
    """The config that a config.json means. Raises ValueError for values that are not handled."""
    settings.only(qkv_bias=True)
    # Of masked image modelling, and of the pooler: neither is there.
    settings.without_effect("encoder_stride", "pooler_act", "pooler_output_size")
    return ViTConfig(
        image_size=settings.size("image_size", 224),
        patch_size=settings.size("patch_size", 16),
        channels=settings.size("num_channels", 3),
        classes=len(settings.table("id2label")) or 2,  # that of transformers without labels
        width=settings.size("hidden_size", 768),
        layers=settings.size("num_hidden_layers", 12),
        heads=settings.size("num_attention_heads", 12),
        hidden=settings.size("intermediate_size", 3072),
        activation=settings.activation("hidden_act", "gelu", PLAIN_ACTIVATIONS),
        norm_eps=settings.number("layer_norm_eps", 1e-12),
        dropout=settings.share("hidden_dropout_prob", 0.0),
        attention_dropout=settings.share("attention_probs_dropout_prob", 0.0),
    )


def settings_from(config: ViTConfig) -> dict[str, Any]:
    """The keys of config.json for a config."""
    labels = [f"LABEL_{number}" for number in range(config.classes)]
    return {
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "num_channels": config.channels,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.filled().hidden,
        "hidden_act": written_name(PLAIN_ACTIVATIONS, config.activation),
        "layer_norm_eps": config.norm_eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
    }


OURS, THEIRS = "stack.layers.{}", "vit.encoder.layer.{}"
NAMES: dict[str, str | tuple[str, ...]] = {
    "class_token": "vit.embeddings.cls_token",
    "position_embedding": "vit.embeddings.position_embeddings",
    "patch_embedding": "vit.embeddings.patch_embeddings.projection",
    f"{OURS}.attention_norm": f"{THEIRS}.layernorm_before",
    f"{OURS}.attention.query_key_value": (
        f"{THEIRS}.attention.attention.query",
        f"{THEIRS}.attention.attention.key",
        f"{THEIRS}.attention.attention.value",
    ),
    f"{OURS}.attention.output": f"{THEIRS}.attention.output.dense",
    f"{OURS}.feed_forward_norm": f"{THEIRS}.layernorm_after",
    f"{OURS}.feed_forward.input": f"{THEIRS}.intermediate.dense",
    f"{OURS}.feed_forward.output": f"{THEIRS}.output.dense",
    "stack.norm": "vit.layernorm",
    "head": "classifier",
}

VIT = Family("vit", "ViTForImageClassification", config_from, settings_from, ViT, NAMES)
