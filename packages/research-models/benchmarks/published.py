"""Models of transformers, tiny and random, to compare with ours: what the tests and benchmarks use.

Parameters are moved off their initial values, so that a swapped bias or gain shows.
"""

import importlib
import tempfile

import torch
from parity import moved
from research_models import load_pretrained
from research_models.pretrained import FAMILIES
from torch import Tensor, nn

VOCABULARY, LENGTH = 61, 17
SIZES = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
TEXT = {**SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": 48, "intermediate_size": 96}
LLAMA = {
    **TEXT,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-3,
    "rope_parameters": {"rope_theta": 5000.0, "rope_type": "default"},
}
# The arguments of each family's config in transformers: eps and theta off their defaults.
TINY = {
    "bert": {**TEXT, "layer_norm_eps": 1e-3},
    "gpt2": {
        **{"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": VOCABULARY, "n_positions": 48},
        "layer_norm_epsilon": 1e-3,
    },
    "llama": LLAMA,
    "qwen3": {**LLAMA, "head_dim": 24},
    "vit": {
        **{**SIZES, "intermediate_size": 96, "image_size": 12, "patch_size": 4, "num_labels": 5},
        "layer_norm_eps": 1e-3,
    },
}
DROPOUTS = {
    "bert": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
    "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop"),
    "llama": ("attention_dropout",),
    "qwen3": ("attention_dropout",),
    "vit": ("hidden_dropout_prob", "attention_probs_dropout_prob"),
}


def reference(family: str, **changes: object) -> nn.Module:
    """transformers' model with its scaled_dot_product_attention, in evaluation mode, no dropout.

    changes: of the config's arguments.
    """
    # The family's own modules: all of transformers takes many seconds to import.
    package = f"transformers.models.{family}"
    models = importlib.import_module(f"{package}.modeling_{family}")
    configs = vars(importlib.import_module(f"{package}.configuration_{family}"))
    config_of = next(value for name, value in configs.items() if name.lower() == f"{family}config")
    arguments = {**TINY[family], **dict.fromkeys(DROPOUTS[family], 0.0), **changes}
    ids = dict.fromkeys(("bos_token_id", "eos_token_id"))
    config = config_of(**ids, **arguments, attn_implementation="sdpa")
    torch.manual_seed(0)
    return moved(getattr(models, FAMILIES[family].architecture)(config))


def ours(theirs: nn.Module) -> nn.Module:
    """Our model with the weights of a reference, through a folder."""
    from transformers.utils import logging  # here, as it takes seconds to import

    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return load_pretrained(folder)


def example(
    family: str, batch: int = 3, length: int = LENGTH
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What the reference is called with, and what ours is, by name."""
    torch.manual_seed(1)
    if family == "vit":
        images = torch.randn(batch, 3, 12, 12)
        return {"pixel_values": images}, {"images": images}
    tokens = torch.randint(1, VOCABULARY, (batch, length))
    if family != "bert":
        return {"input_ids": tokens}, {"tokens": tokens}
    segments = (torch.arange(length) > length // 2).long().expand(batch, -1)
    return (
        {"input_ids": tokens, "token_type_ids": segments},
        {"tokens": tokens, "segments": segments},
    )
