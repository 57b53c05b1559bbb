"""Published families against transformers: outputs, gradients, generation, files both ways."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from published import TINY, example, reference
from published import ours as our_copy
from research_models import (
    BaseConv,
    BertMaskedLM,
    Transformer,
    TransformerConfig,
    ViT,
    generate,
    load_pretrained,
    real_positions,
    save_pretrained,
)
from safetensors.torch import load_file, save_file

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
DECODERS = ("gpt2", "llama", "qwen3")
every = pytest.mark.parametrize("family", TINY)
decoders = pytest.mark.parametrize("family", DECODERS)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Of each family the reference, our model loaded from its folder, and the folder."""
    made = {}

    def pair(family):
        if family not in made:
            theirs = reference(family)
            folder = tmp_path_factory.mktemp(family)
            theirs.save_pretrained(folder)
            made[family] = theirs, load_pretrained(folder), folder
        return made[family]

    return pair


def differ(one, other):
    return (one - other).abs().max().item()


@every
def test_logits_and_hidden_states_are_the_reference_s(pairs, family):
    theirs, ours, _ = pairs(family)
    given, fed = example(family)
    with torch.no_grad():
        assert differ(ours(**fed), theirs(**given).logits) <= 5e-6
        hidden = theirs.base_model(**given).last_hidden_state
        assert differ(ours.hidden(**fed), hidden) <= 5e-6


@every
def test_gradients_of_every_parameter_are_the_reference_s(pairs, family, tmp_path):
    theirs = reference(family)
    ours = our_copy(theirs)
    given, fed = example(family)
    gradients = {}
    for model, inputs in ((theirs, given), (ours, fed)):
        logits = model(**inputs)
        logits = logits if isinstance(logits, torch.Tensor) else logits.logits
        targets = torch.arange(logits[..., 0].numel()) % logits.shape[-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets).backward()
        gradients[model] = {key: each.grad for key, each in model.named_parameters()}
    # Both as tensors of a file, where they have the same names.
    for model, values in gradients.items():
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                parameter.copy_(values[key])
    save_pretrained(ours, tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    found, expected = (load_file(tmp_path / name / WEIGHTS) for name in ("ours", "theirs"))
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        assert differ(found[key], gradient) <= 1e-6, key


@decoders
def test_a_cache_fed_in_chunks_gives_what_one_pass_gives(pairs, family):
    theirs, ours, _ = pairs(family)
    given, fed = example(family)
    with torch.no_grad():
        expected = theirs(**given).logits
        cache = ours.new_cache()
        chunks = fed["tokens"].split([5, 1, 5, 6], dim=1)
        logits = torch.cat([ours(chunk, cache=cache) for chunk in chunks], dim=1)
    assert differ(logits, expected) <= 5e-6


@pytest.mark.parametrize("family", ["bert", *DECODERS])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_give_what_the_reference_gives(pairs, family, side):
    theirs, ours, _ = pairs(family)
    given, fed = example(family)
    real = torch.arange(17) < torch.tensor([17, 9, 12])[:, None]
    mask = real.flip(1) if side == "left" else real
    positions = real_positions(mask)
    with torch.no_grad():
        expected = theirs(**given, attention_mask=mask.long(), position_ids=positions).logits
        logits = ours(**fed, mask=mask, positions=positions)
    assert differ(logits[mask], expected[mask]) <= 5e-6


@decoders
@pytest.mark.parametrize("padded", [False, True])
def test_greedy_tokens_are_those_of_generate(pairs, family, padded):
    theirs, ours, _ = pairs(family)
    tokens = example(family)[1]["tokens"]
    mask = torch.ones_like(tokens, dtype=torch.bool)
    if padded:
        mask = torch.arange(17) >= torch.tensor([0, 8, 5])[:, None]
    expected = theirs.generate(
        tokens, attention_mask=mask.long(), max_new_tokens=20, do_sample=False, use_cache=True
    )
    assert torch.equal(generate(ours, tokens, 20, mask if padded else None), expected[:, 17:])


@every
def test_bfloat16_is_as_near_to_float32_as_the_reference(pairs, family, tmp_path):
    theirs, _, _ = pairs(family)
    given, fed = example(family, batch=16)
    rounded = reference(family).bfloat16()
    rounded.save_pretrained(tmp_path)
    ours = load_pretrained(tmp_path)
    assert {each.dtype for each in ours.parameters()} == {torch.bfloat16}
    if family == "vit":
        given, fed = (
            {key: images.bfloat16() for key, images in each.items()} for each in (given, fed)
        )
    with torch.no_grad():
        exact = theirs(
            **{key: each.float() if family == "vit" else each for key, each in given.items()}
        )
        errors = [
            (logits.float() - exact.logits).square().mean().sqrt()
            for logits in (ours(**fed), rounded(**given).logits)
        ]
    assert errors[0] <= 1.1 * errors[1]


@every
def test_a_folder_loaded_and_saved_has_the_same_bytes(pairs, family, tmp_path):
    _, ours, folder = pairs(family)
    save_pretrained(ours, tmp_path)
    before, after = ((each / WEIGHTS).read_bytes() for each in (folder, tmp_path))
    assert before == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


@every
def test_transformers_reads_what_is_saved(pairs, family, tmp_path):
    theirs, ours, _ = pairs(family)
    save_pretrained(ours, tmp_path)
    back = type(theirs).from_pretrained(tmp_path, attn_implementation="sdpa").eval()
    given, _ = example(family)
    with torch.no_grad():
        assert torch.equal(back(**given).logits, theirs(**given).logits)
    ours_of, theirs_of = back.config.to_dict(), theirs.config.to_dict()
    same = set(ours_of) - {"_name_or_path", "transformers_version", "n_inner", "architectures"}
    assert {key: ours_of[key] for key in same} == {key: theirs_of[key] for key in same} | {
        "dtype": ours_of["dtype"]
    }


def test_what_a_folder_says_beside_the_architecture_is_kept(pairs, tmp_path):
    _, _, folder = pairs("gpt2")
    shutil.copytree(folder, tmp_path / "given")
    change_config(tmp_path / "given", eos_token_id=7, id2label={"0": "odd", "1": "even"})
    save_pretrained(load_pretrained(tmp_path / "given"), tmp_path / "saved")
    saved = json.loads((tmp_path / "saved/config.json").read_text())
    assert (saved["eos_token_id"], saved["id2label"]["1"]) == (7, "even")


def test_labels_of_a_vit_are_kept_while_their_number_fits(pairs, tmp_path):
    _, _, folder = pairs("vit")
    shutil.copytree(folder, tmp_path / "given")
    change_config(tmp_path / "given", id2label={str(n): f"kind {n}" for n in range(5)})
    model = load_pretrained(tmp_path / "given")
    save_pretrained(model, tmp_path / "same")
    saved = json.loads((tmp_path / "same/config.json").read_text())
    assert saved["id2label"]["4"] == "kind 4"
    other = ViT(replace(model.config, classes=2))
    other.pretrained_settings = model.pretrained_settings
    save_pretrained(other, tmp_path / "other")
    assert load_pretrained(tmp_path / "other").config.classes == 2


@every
def test_a_model_made_here_is_saved_and_loaded(family, pairs, tmp_path):
    """With dropout, which is trained with again."""
    _, ours, _ = pairs(family)
    config = replace(ours.config, attention_dropout=0.25)
    save_pretrained(type(ours)(config), tmp_path)
    assert load_pretrained(tmp_path).config.filled() == config.filled()


def test_a_gpt_without_biases_is_saved_with_biases_of_zero(tmp_path):
    """nanoGPT's: transformers has no such model, but one that computes the same."""
    torch.manual_seed(0)
    model = Transformer(replace(SMALL, bias=False)).eval()
    save_pretrained(model, tmp_path)
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    tokens = torch.arange(8)[None] % 11
    with torch.no_grad():
        assert differ(model(tokens), theirs(tokens).logits) <= 1e-6
    assert model.config.bias is False


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_tied_model_has_no_head_in_its_file(family, tmp_path):
    theirs = reference(family, tie_word_embeddings=True)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_pretrained(tmp_path / "theirs")
    given, fed = example(family)
    with torch.no_grad():
        assert differ(ours(**fed), theirs(**given).logits) <= 5e-6
    save_pretrained(ours, tmp_path / "ours")
    assert (tmp_path / "ours" / WEIGHTS).read_bytes() == (
        tmp_path / "theirs" / WEIGHTS
    ).read_bytes()


@every
def test_weights_in_several_files_are_those_of_one(pairs, family, tmp_path):
    theirs, ours, _ = pairs(family)
    theirs.save_pretrained(tmp_path, max_shard_size="60KB")
    assert (tmp_path / INDEX).is_file()
    parts = load_pretrained(tmp_path).state_dict()
    for name, tensor in ours.state_dict().items():
        assert torch.equal(parts[name], tensor)


@pytest.fixture
def in_parts(pairs, tmp_path):
    """A GPT-2 in several files, and what its index says."""
    pairs("gpt2")[0].save_pretrained(tmp_path / "parts", max_shard_size="60KB")
    return tmp_path / "parts", json.loads((tmp_path / "parts" / INDEX).read_text())["weight_map"]


def write_index(folder, parts):
    (folder / INDEX).write_text(json.dumps({"weight_map": parts}))


def test_a_tensor_in_two_files_is_refused(in_parts):
    folder, parts = in_parts
    name = "transformer.ln_f.weight"
    other = next(part for part in parts.values() if part != parts[name])
    tensors = load_file(folder / other)
    save_file({**tensors, name: torch.zeros(64)}, folder / other)
    with pytest.raises(
        ValueError, match=rf"{name} .*({other}|{parts[name]}) .*({other}|{parts[name]})"
    ):
        load_pretrained(folder)


def test_a_tensor_that_is_not_where_the_index_says_is_refused(in_parts):
    folder, parts = in_parts
    name = "transformer.ln_f.weight"
    other = next(part for part in parts.values() if part != parts[name])
    write_index(folder, {**parts, name: other})
    with pytest.raises(ValueError, match=rf"{INDEX} lists {name} in {other}"):
        load_pretrained(folder)
    write_index(folder, {**parts, "another.weight": other})
    with pytest.raises(ValueError, match=r"lists another\.weight"):
        load_pretrained(folder)


@pytest.mark.parametrize("place", ["../{}", "../../elsewhere/{}", "parts/{}", "/{}", "..", "", 3])
def test_an_index_names_only_files_of_its_folder(in_parts, place):
    folder, parts = in_parts
    name, part = next(iter(parts.items()))
    place = place.format(part) if isinstance(place, str) else place
    write_index(folder, {**parts, name: place})
    with pytest.raises(ValueError, match=rf"{INDEX}: {name} is in {re.escape(repr(place))}"):
        load_pretrained(folder)


@pytest.mark.parametrize("text", ['{"metadata": {}}', '{"weight_map": ["a"]}', "[]", "3", "{"])
def test_an_index_without_a_map_is_named(in_parts, text):
    folder, _ = in_parts
    (folder / INDEX).write_text(text)
    with pytest.raises(ValueError, match=INDEX):
        load_pretrained(folder)


def test_old_files_of_bert_are_read(pairs, tmp_path):
    """As Google's: gamma and beta, a second head, the decoder's copies of other tensors."""
    _, ours, folder = pairs("bert")
    shutil.copytree(folder, tmp_path / "old")
    tensors = {
        name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    tensors["cls.predictions.decoder.weight"] = tensors[
        "bert.embeddings.word_embeddings.weight"
    ].clone()
    tensors["bert.pooler.dense.weight"] = torch.zeros(64, 64)
    tensors["cls.seq_relationship.bias"] = torch.zeros(2)
    save_file(tensors, tmp_path / "old" / WEIGHTS)
    _, fed = example("bert")
    assert torch.equal(load_pretrained(tmp_path / "old")(**fed), ours(**fed))
    tensors["cls.predictions.decoder.weight"] += 1
    save_file(tensors, tmp_path / "old" / WEIGHTS)
    with pytest.raises(ValueError, match=r"not used: cls\.predictions\.decoder\.weight"):
        load_pretrained(tmp_path / "old")


def test_a_tensor_under_both_an_old_and_a_new_name_is_refused(pairs, tmp_path):
    _, _, folder = pairs("bert")
    shutil.copytree(folder, tmp_path / "both")
    tensors = load_file(folder / WEIGHTS)
    tensors["bert.embeddings.LayerNorm.gamma"] = tensors["bert.embeddings.LayerNorm.weight"] + 1
    save_file(tensors, tmp_path / "both" / WEIGHTS)
    with pytest.raises(ValueError, match=r"both.*LayerNorm\.gamma and .*LayerNorm\.weight"):
        load_pretrained(tmp_path / "both")


def test_only_bert_has_gamma_and_beta(pairs, tmp_path):
    _, _, folder = pairs("vit")
    shutil.copytree(folder, tmp_path / "old")
    tensors = load_file(folder / WEIGHTS)
    tensors["vit.layernorm.gamma"] = tensors.pop("vit.layernorm.weight")
    save_file(tensors, tmp_path / "old" / WEIGHTS)
    with pytest.raises(ValueError, match=r"missing: vit\.layernorm\.weight.*vit\.layernorm\.gamma"):
        load_pretrained(tmp_path / "old")


def test_old_files_of_gpt2_are_read(pairs, tmp_path):
    """As OpenAI's: no prefix, the causal mask among the tensors."""
    _, ours, folder = pairs("gpt2")
    shutil.copytree(folder, tmp_path / "old")
    tensors = {
        name.removeprefix("transformer."): tensor
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 48, 48).tril()
    tensors["lm_head.weight"] = tensors["wte.weight"].clone()
    save_file(tensors, tmp_path / "old" / WEIGHTS)
    _, fed = example("gpt2")
    assert torch.equal(load_pretrained(tmp_path / "old")(**fed), ours(**fed))
    tensors["h.0.attn.other"] = torch.zeros(3)
    save_file(tensors, tmp_path / "old" / WEIGHTS)
    with pytest.raises(ValueError, match=r"not used: h\.0\.attn\.other"):
        load_pretrained(tmp_path / "old")


def test_theta_is_read_where_transformers_4_wrote_it(pairs, tmp_path):
    _, ours, folder = pairs("llama")
    shutil.copytree(folder, tmp_path / "old")
    change_config(tmp_path / "old", rope_theta=5000.0, rope_scaling=None, rope_parameters=None)
    assert load_pretrained(tmp_path / "old").config == ours.config


def change_config(folder, **changes):
    """Change keys of a folder's config.json; None takes a key out."""
    path = folder / "config.json"
    values = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("family", "changes", "named"),
    [
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = T"),
        ("gpt2", {"activation_function": "quick_gelu"}, "activation_function = 'quick_gelu'"),
        ("gpt2", {"embd_pdrop": 1.3}, "embd_pdrop = 1.3"),
        ("gpt2", {"n_layer": "3"}, "n_layer = '3'"),
        ("gpt2", {"tie_word_embeddings": False}, "tie_word_embeddings = False"),
        ("llama", {"attention_bias": True}, "attention_bias = True"),
        ("llama", {"rope_scaling": {"rope_type": "yarn"}}, "rope_scaling = .*yarn"),
        ("llama", {"rope_parameters": {"rope_type": "llama3"}}, "rope_type = 'llama3'"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("llama", {"sliding_window": 16}, "sliding_window = 16"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window = True"),
        ("qwen3", {"num_key_value_heads": "2"}, "num_key_value_heads = '2'"),
        ("qwen3", {"head_dim": 24.0}, "head_dim = 24.0"),
        ("gpt2", {"n_inner": 64.5}, "n_inner = 64.5"),
        ("gpt2", {"n_embd": True}, "n_embd = True"),
        ("gpt2", {"attn_pdrop": -0.1}, "attn_pdrop = -0.1"),
        ("gpt2", {"temperature": 0.7}, "temperature = 0.7"),
        ("bert", {"chunk_size_feed_forward": 64}, "chunk_size_feed_forward = 64"),
        ("bert", {"hidden_act": ["gelu"]}, r"hidden_act = \['gelu'\]"),
        ("vit", {"id2label": 5}, "id2label = 5"),
        ("llama", {"rms_norm_eps": -1}, "rms_norm_eps = -1"),
        ("llama", {"rms_norm_eps": "1e-6"}, "rms_norm_eps = '1e-6'"),
        ("llama", {"attention_dropout": 1.5}, "attention_dropout = 1.5"),
        ("llama", {"tie_word_embeddings": 1}, "tie_word_embeddings = 1"),
        ("llama", {"rope_parameters": [1]}, r"rope_parameters = \[1\]"),
        ("llama", {"rope_parameters": {}, "rope_theta": "abc"}, "rope_theta = 'abc'"),
        ("llama", {"rope_parameters": {}, "rope_theta": -1}, "rope_theta = -1"),
        ("llama", {"rope_parameters": {"rope_theta": float("nan")}}, "rope_theta = nan"),
        ("llama", {"rope_theta": 10000}, "rope_theta = 10000, but 5000.0 in rope_parameters"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 3}, "layer_types = .*sliding"),
        ("bert", {"position_embedding_type": "relative_key"}, "relative_key"),
        ("bert", {"is_decoder": True}, "is_decoder = True"),
        ("vit", {"qkv_bias": False}, "qkv_bias = False"),
        ("bert", {"a_new_key": 1}, "a_new_key = 1"),
        ("bert", {"model_type": "roberta"}, "model_type = 'roberta'"),
        ("bert", {"architectures": ["BertModel"]}, "BertModel.*BertForMaskedLM"),
        ("bert", {"num_attention_heads": 5}, "5 heads, width 64"),
    ],
)
def test_a_config_that_is_not_handled_is_named(pairs, tmp_path, family, changes, named):
    _, _, folder = pairs(family)
    shutil.copytree(folder, tmp_path / "changed")
    change_config(tmp_path / "changed", **changes)
    with pytest.raises(ValueError, match=named):
        load_pretrained(tmp_path / "changed")


@every
@pytest.mark.parametrize("change", ["dtype", "integers"])
def test_a_tensor_of_another_dtype_is_named(pairs, tmp_path, family, change):
    _, _, folder = pairs(family)
    shutil.copytree(folder, tmp_path / "changed")
    tensors = load_file(folder / WEIGHTS)
    name = sorted(tensors)[1]
    tensors[name] = tensors[name].to(torch.bfloat16 if change == "dtype" else torch.int8)
    save_file(tensors, tmp_path / "changed" / WEIGHTS)
    with pytest.raises(ValueError, match=rf"changed.*{name}.*torch\.(bfloat16|int8)"):
        load_pretrained(tmp_path / "changed")


@every
@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_tensor_that_does_not_fit_is_named(pairs, tmp_path, family, change):
    _, _, folder = pairs(family)
    shutil.copytree(folder, tmp_path / "changed")
    tensors = load_file(folder / WEIGHTS)
    name = max(tensors)
    if change == "missing":
        del tensors[name]
    elif change == "extra":
        name = "another.weight"
        tensors[name] = torch.zeros(3)
    else:
        tensors[name] = torch.zeros(3, 5, 7)
    save_file(tensors, tmp_path / "changed" / WEIGHTS)
    with pytest.raises(ValueError, match=f"changed.*{name}"):
        load_pretrained(tmp_path / "changed")


def test_queries_and_keys_of_other_heads_are_refused(pairs, tmp_path):
    """Together they would have as many rows."""
    _, _, folder = pairs("llama")
    shutil.copytree(folder, tmp_path / "changed")
    tensors = load_file(folder / WEIGHTS)
    one, other = (f"model.layers.1.self_attn.{part}_proj.weight" for part in "qk")
    tensors[one], tensors[other] = tensors[other], tensors[one]
    save_file(tensors, tmp_path / "changed" / WEIGHTS)
    with pytest.raises(ValueError, match=one):
        load_pretrained(tmp_path / "changed")


def test_a_folder_without_a_file_says_which(pairs, tmp_path):
    _, _, folder = pairs("gpt2")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_pretrained(tmp_path)
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=WEIGHTS):
        load_pretrained(tmp_path)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    with pytest.raises(FileNotFoundError, match=r"part\.safetensors"):
        load_pretrained(tmp_path)
    (tmp_path / "part.safetensors").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"part\.safetensors"):
        load_pretrained(tmp_path)


SMALL = TransformerConfig(vocabulary=11, width=16, layers=1, heads=2, length=8)
LLAMA_KIND = replace(
    SMALL, length=None, norm="rms", positions="rotary", activation="swiglu", bias=False
)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: Transformer(replace(SMALL, positions="sinusoidal")), "positions='learned'"),
        (lambda: Transformer(replace(SMALL, tied=False)), "tied=True"),
        (lambda: Transformer(replace(SMALL, causal=False)), "causal=True"),
        (lambda: Transformer(replace(SMALL, hidden=0)), "n_inner = 0"),
        (lambda: Transformer(LLAMA_KIND), "length=None.*length="),
        (lambda: Transformer(replace(LLAMA_KIND, length=8, hidden=0)), "llama.*_size = 0"),
        (lambda: Transformer(replace(LLAMA_KIND, length=8, bias=True)), "llama would have bias=F"),
        (lambda: Transformer(SMALL, BaseConv), "mixer"),
        (lambda: torch.nn.Linear(2, 2), "Linear"),
    ],
)
def test_a_model_that_transformers_has_not_is_refused(model, named, tmp_path):
    with pytest.raises(ValueError, match=named):
        save_pretrained(model(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_bert_is_an_encoder_with_a_plain_activation():
    with pytest.raises(ValueError, match=r"swiglu.*tied=True, causal=True"):
        BertMaskedLM(replace(SMALL, activation="swiglu"))
