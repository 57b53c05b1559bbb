"""config.json of published models: each key is read, at its default, or refused."""

import pytest
import torch
from research_models import parameter_count
from research_models.pretrained import FAMILIES
from research_models.weights.conversion import Settings

GPT2 = {
    **{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 50257},
    **{"activation_function": "gelu_new", "attn_pdrop": 0.1, "embd_pdrop": 0.1},
    **{"resid_pdrop": 0.1, "layer_norm_epsilon": 1e-05, "initializer_range": 0.02},
    **{"n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024},
    **{"bos_token_id": 50256, "eos_token_id": 50256, "summary_activation": None},
    **{"summary_first_dropout": 0.1, "summary_proj_to_labels": True},
    **{"summary_type": "cls_index", "summary_use_proj": True},
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
}
MEDIUM = {**GPT2, "n_embd": 1024, "n_head": 16, "n_layer": 24}
MEDIUM |= {"n_special": 0, "predict_special_tokens": True}
XL = {**GPT2, "n_embd": 1600, "n_head": 25, "n_layer": 48, "output_past": True}
DISTILLED = {**GPT2, "n_layer": 6, "_num_labels": 1}
DISTILLED |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
BERT = {
    **{"model_type": "bert", "architectures": ["BertForMaskedLM"], "vocab_size": 30522},
    **{"attention_probs_dropout_prob": 0.1, "hidden_dropout_prob": 0.1, "hidden_act": "gelu"},
    **{"hidden_size": 768, "initializer_range": 0.02, "intermediate_size": 3072},
    **{"layer_norm_eps": 1e-12, "max_position_embeddings": 512, "num_attention_heads": 12},
    **{"num_hidden_layers": 12, "pad_token_id": 0, "position_embedding_type": "absolute"},
    **{"transformers_version": "4.6.0.dev0", "type_vocab_size": 2, "use_cache": True},
    "gradient_checkpointing": False,
}
LLAMA2 = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32000},
    **{"bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096},
    **{"initializer_range": 0.02, "intermediate_size": 11008, "max_position_embeddings": 4096},
    **{"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32},
    **{"pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None, "use_cache": True},
    **{"tie_word_embeddings": False, "torch_dtype": "float16"},
}
LLAMA3 = {
    **LLAMA2,
    **{"attention_bias": False, "attention_dropout": 0.0, "rope_theta": 500000.0},
    **{"bos_token_id": 128000, "eos_token_id": [128001, 128009], "vocab_size": 128256},
    **{"intermediate_size": 14336, "max_position_embeddings": 8192, "num_key_value_heads": 8},
}
QWEN3 = {
    **{"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 151936},
    **{"attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 151643},
    **{"eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024},
    **{"initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960},
    **{"max_window_layers": 28, "num_attention_heads": 16, "num_hidden_layers": 28},
    **{"num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None},
    **{"rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": True},
    **{"torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False},
}
VIT = {
    **{"model_type": "vit", "architectures": ["ViTForImageClassification"]},
    **{"attention_probs_dropout_prob": 0.0, "hidden_act": "gelu", "hidden_dropout_prob": 0.0},
    **{"hidden_size": 768, "image_size": 224, "initializer_range": 0.02},
    **{"intermediate_size": 3072, "layer_norm_eps": 1e-12, "num_attention_heads": 12},
    **{"num_channels": 3, "num_hidden_layers": 12, "patch_size": 16, "qkv_bias": True},
    "id2label": {str(number): f"kind {number}" for number in range(1000)},
    "label2id": {f"kind {number}": number for number in range(1000)},
}


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        (GPT2, 124_439_808),
        (MEDIUM, 354_823_168),
        (XL, 1_557_611_200),
        (DISTILLED, 81_912_576),
        (BERT, 109_514_298),
        (LLAMA2, 6_738_415_616),
        (LLAMA3, 8_030_261_248),
        (QWEN3, 596_049_920),
        (VIT, 86_567_656),
    ],
)
def test_published_configs_make_models_of_the_published_sizes(values, parameters):
    family = FAMILIES[values["model_type"]]
    with torch.device("meta"):
        model = family.make(family.config(Settings("config.json", values)))
    assert parameter_count(model) == parameters


@pytest.mark.parametrize("values", [GPT2, BERT, LLAMA3, QWEN3, VIT])
def test_keys_of_every_model_are_read_at_their_defaults(values):
    family = FAMILIES[values["model_type"]]
    config = family.config(Settings("config.json", values))
    defaults = {
        **{"is_encoder_decoder": False, "chunk_size_feed_forward": 0, "torchscript": False},
        **{"pruned_heads": {}, "tokenizer_class": "AutoTokenizer", "num_beams": 1, "top_p": 1.0},
    }
    assert family.config(Settings("config.json", {**values, **defaults})) == config


def test_rotary_positions_are_read_at_their_defaults():
    rope = {"rope_theta": 500000.0, "rope_type": "default", "partial_rotary_factor": 1.0}
    values = {**LLAMA3, "rope_parameters": rope}
    config = FAMILIES["llama"].config(Settings("config.json", values))
    assert config.rotary_base == 500000.0
    assert config == FAMILIES["llama"].config(Settings("config.json", LLAMA3))


def test_the_dropout_of_embeddings_is_read_and_written():
    family, values = FAMILIES["gpt2"], {**GPT2, "embd_pdrop": 0.3}
    config = family.config(Settings("config.json", values))
    assert (config.dropout, config.embedding_dropout) == (0.1, 0.3)
    written = family.settings_from(config)
    assert (written["resid_pdrop"], written["embd_pdrop"]) == (0.1, 0.3)
