"""The Transformer: against torch's layers, its closed form, its bounds, any allowed config."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import moved
from research_models import (
    H3,
    Attention,
    BaseConv,
    BertMaskedLM,
    LinearAttention,
    Transformer,
    TransformerConfig,
    initialisation,
    parameter_count,
    real_positions,
    save_pretrained,
)
from safetensors.torch import load_file, save_file

SMALL = TransformerConfig(vocabulary=31, width=16, layers=2, heads=2, length=24)


def tokens(batch=2, length=13):
    return torch.randint(31, (batch, length))


def parameters_by_closed_form(config):
    """How many parameters a config's model has."""
    c = config.filled()
    gated = c.activation in ("reglu", "geglu", "geglu_tanh", "swiglu")
    norm = c.width * (2 if c.bias and c.norm == "layer" else 1)
    rows, groups = c.heads * c.head_width, c.key_value_heads * c.head_width
    attention = (c.width + c.bias) * (rows + 2 * groups) + (rows + c.bias) * c.width
    inputs = (2 if gated else 1) * c.hidden
    feed_forward = (c.width + c.bias) * inputs + (c.hidden + c.bias) * c.width + norm
    layer = norm + attention + 2 * c.head_width * c.query_key_norm
    layer += c.cross_attention * (norm + attention) + (feed_forward if c.hidden else 0)
    positions = c.length if c.positions == "learned" else 0
    rows_of_embeddings = c.vocabulary * (1 if c.tied else 2) + positions + c.segments
    norms = (c.norm_place == "pre") + c.embedding_norm
    return rows_of_embeddings * c.width + norms * norm + c.layers * layer


@st.composite
def configs(draw):
    """Any allowed config, small."""
    groups, head = draw(st.integers(1, 2)), 2 * draw(st.integers(1, 3))
    heads = groups * draw(st.integers(1, 2))
    own_head = draw(st.booleans())
    width = 2 * draw(st.integers(2, 6)) if own_head else heads * head
    return TransformerConfig(
        vocabulary=draw(st.integers(1, 9)),
        width=width,
        layers=draw(st.integers(0, 2)),
        heads=heads,
        length=draw(st.integers(6, 9)),
        causal=draw(st.booleans()),
        cross_attention=draw(st.booleans()),
        key_value_heads=groups,
        head_width=head if own_head else None,
        hidden=draw(st.sampled_from([None, 0, 5])),
        activation=draw(
            st.sampled_from(["relu", "gelu", "gelu_tanh", "silu", "reglu", "geglu", "swiglu"])
        ),
        norm=draw(st.sampled_from(["layer", "rms"])),
        norm_eps=draw(st.sampled_from([1e-12, 1e-5])),
        norm_place=draw(st.sampled_from(["pre", "post"])),
        embedding_norm=draw(st.booleans()),
        query_key_norm=draw(st.booleans()),
        positions=draw(st.sampled_from(["learned", "sinusoidal", "rotary", "none"])),
        segments=draw(st.integers(0, 2)),
        embedding_scale=draw(st.sampled_from([1.0, 3.0])),
        bias=draw(st.booleans()),
        tied=draw(st.booleans()),
        logit_scale=draw(st.sampled_from([1.0, 0.5])),
        attention_scale=draw(st.sampled_from([None, 0.2])),
    )


@settings(max_examples=25)
@given(config=configs())
def test_any_allowed_config_runs_saves_loads_and_has_the_parameters_of_the_closed_form(
    config, tmp_path_factory
):
    torch.manual_seed(0)
    model = moved(Transformer(config))
    counted = parameter_count(model)
    assert counted == parameters_by_closed_form(config)
    given_tokens = torch.randint(config.vocabulary, (2, 6))
    context = torch.randn(2, 3, config.width) if config.cross_attention else None
    logits = model(given_tokens, context=context)
    assert logits.shape == (2, 6, config.vocabulary)
    logits.square().sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())

    path = tmp_path_factory.mktemp("any") / "model.safetensors"
    save_file(model.state_dict(), path)
    again = Transformer(config).eval()
    again.load_state_dict(load_file(path))
    assert torch.equal(again(given_tokens, context=context), logits)

    if config.causal:
        cache = model.new_cache()
        with torch.no_grad():
            parts = [
                model(part, context=context, cache=cache)
                for part in given_tokens.split([2, 1, 3], 1)
            ]
        torch.testing.assert_close(torch.cat(parts, 1), logits, atol=1e-4, rtol=1e-4)
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    alone = model(given_tokens[1:, :4], context=None if context is None else context[1:])
    padded = model(given_tokens, mask, context=context)
    torch.testing.assert_close(padded[1:, :4], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("place", ["pre", "post"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_an_encoder_and_a_decoder_are_torch_s(place, activation):
    """The original's kind: torch's nn.TransformerEncoder and nn.TransformerDecoder."""
    torch.manual_seed(0)
    config = replace(
        SMALL, norm_place=place, activation=activation, positions="sinusoidal", hidden=20
    )
    encoder = moved(Transformer(replace(config, causal=False)))
    decoder = moved(Transformer(replace(config, cross_attention=True)))
    arguments = {"dim_feedforward": 20, "dropout": 0.0, "activation": activation}
    arguments |= {"batch_first": True, "norm_first": place == "pre"}
    last = torch.nn.LayerNorm(16) if place == "pre" else None
    their_encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(16, 2, **arguments), 2, last, enable_nested_tensor=False
    )
    last = torch.nn.LayerNorm(16) if place == "pre" else None
    their_decoder = torch.nn.TransformerDecoder(
        torch.nn.TransformerDecoderLayer(16, 2, **arguments), 2, last
    )
    their_encoder.load_state_dict(in_torch_s_names(encoder.stack))
    their_decoder.load_state_dict(in_torch_s_names(decoder.stack))
    source, target = tokens(length=7), tokens(length=13)
    context = encoder.hidden(source)
    expected = their_encoder.eval()(encoder.embedded(source, None, torch.arange(7)))
    torch.testing.assert_close(context, expected, atol=1e-5, rtol=1e-5)
    causal = torch.nn.Transformer.generate_square_subsequent_mask(13)
    x = decoder.embedded(target, None, torch.arange(13))
    expected = their_decoder.eval()(x, context, tgt_mask=causal)
    hidden = decoder.hidden(target, context=context)
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-5)


def in_torch_s_names(stack):
    """A stack's parameters by torch's names."""
    norms = ["attention_norm", "feed_forward_norm"]
    if stack.config.cross_attention:
        norms = ["attention_norm", "cross_attention_norm", "feed_forward_norm"]
    renamed = {}
    own = dict(stack.named_parameters())
    for name, parameter in own.items():
        for ours, theirs in (
            ("cross_attention.output", "multihead_attn.out_proj"),
            ("attention.query_key_value.", "self_attn.in_proj_"),
            ("attention.output", "self_attn.out_proj"),
            ("feed_forward.input", "linear1"),
            ("feed_forward.output", "linear2"),
            *((f".{norm}.", f".norm{number}.") for number, norm in enumerate(norms, start=1)),
        ):
            if ours in name:
                renamed[name.replace(ours, theirs)] = parameter
                break
        else:
            if "cross_attention.query" in name:
                value = own[name.replace("query", "key_value")]
                name = name.replace("cross_attention.query.", "multihead_attn.in_proj_")
                renamed[name] = torch.cat([parameter, value])
            elif "cross_attention.key_value" not in name:
                renamed[name] = parameter
    return renamed


def test_the_logits_are_scaled():
    torch.manual_seed(0)
    model = moved(Transformer(SMALL))
    scaled = Transformer(replace(SMALL, logit_scale=0.25)).eval()
    scaled.load_state_dict(model.state_dict())
    given_tokens = tokens()
    torch.testing.assert_close(scaled(given_tokens), model(given_tokens) / 4)


@pytest.mark.parametrize(("name", "value"), [("logit_scale", 0.5), ("attention_scale", 0.125)])
def test_scales_that_no_family_has_are_not_saved(name, value, tmp_path):
    model = Transformer(replace(SMALL, **{name: value}))
    with pytest.raises(ValueError, match=rf"gpt2.*{name}=.*{value}"):
        save_pretrained(model, tmp_path)
    head_width = 8
    usual = replace(SMALL, attention_scale=head_width**-0.5)
    save_pretrained(Transformer(usual), tmp_path)


def test_no_token_sees_a_later_one():
    torch.manual_seed(0)
    model = moved(Transformer(SMALL))
    first = tokens()
    second = first.clone()
    second[:, 7:] = (second[:, 7:] + 1) % 31
    assert torch.equal(model(first)[:, :7], model(second)[:, :7])
    encoder = moved(Transformer(replace(SMALL, causal=False)))
    assert not torch.equal(encoder(first)[:, :7], encoder(second)[:, :7])


def test_sizes_that_a_config_leaves_out_follow_the_width():
    assert replace(SMALL, width=32).filled().hidden == 128
    assert replace(SMALL, width=32).filled().head_width == 16


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_padding_on_the_left_changes_nothing_in_chunks_either(positions):
    torch.manual_seed(0)
    model = moved(Transformer(replace(SMALL, positions=positions, key_value_heads=1)))
    given_tokens = tokens()
    mask = torch.arange(13) >= torch.tensor([[0], [7]])
    cache = model.new_cache()
    parts, sizes = [], [5, 1, 3, 4]
    with torch.no_grad():
        pieces = zip(
            *(each.split(sizes, 1) for each in (given_tokens, mask, real_positions(mask))),
            strict=True,
        )
        for piece, of_piece, at in pieces:
            parts.append(model(piece, of_piece, positions=at, cache=cache))
        logits = torch.cat(parts, 1)
        torch.testing.assert_close(logits[:1], model(given_tokens[:1]), atol=5e-6, rtol=0)
        alone = model(given_tokens[1:, 7:])
    torch.testing.assert_close(logits[1:, 7:], alone, atol=5e-6, rtol=0)


@pytest.mark.parametrize("mixer", [BaseConv, LinearAttention])
def test_a_mixer_stands_in_place_of_attention(mixer):
    torch.manual_seed(0)
    model = Transformer(SMALL, mixer)
    assert [type(layer.attention) for layer in model.stack.layers] == [mixer, mixer]
    first = tokens()
    second = first.clone()
    second[:, 7:] = (second[:, 7:] + 1) % 31
    model.eval()
    torch.testing.assert_close(model(first)[:, :7], model(second)[:, :7])
    mask = torch.arange(13) >= torch.tensor([[0], [5]])
    third = first.masked_fill(~mask, 3)
    torch.testing.assert_close(model(first, mask)[mask], model(third, mask)[mask])


def test_a_mixer_for_each_layer_and_without_feed_forward_layers():
    """As the models of Zoology, whose kinds alternate."""
    model = Transformer(replace(SMALL, hidden=0), [BaseConv, None])
    kinds = [type(layer.attention).__name__ for layer in model.stack.layers]
    assert kinds == ["BaseConv", "Attention"]
    assert not any("feed_forward" in name for name, _ in model.named_parameters())
    assert model(tokens()).shape == (2, 13, 31)


@pytest.mark.parametrize(
    ("context", "mixer", "on_residual"), [(False, None, 16), (True, None, 24), (True, BaseConv, 24)]
)
def test_initial_weights_are_gpt2_s(context, mixer, on_residual):
    torch.manual_seed(0)
    config = TransformerConfig(
        *(1000, 128, 8, 4, 64),
        tied=False,
        cross_attention=context,
    )
    for name, parameter in Transformer(config, mixer).named_parameters():
        if mixer and ".attention." in name:
            assert parameter.std() > 0.03  # its own
        elif name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert (parameter == 1).all()
        else:
            std = 0.02 / on_residual**0.5 if name.endswith("output.weight") else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.03), name


def test_initialisation_gpt2_on_a_transformer_draws_what_it_begins_with():
    """With the names that its docstring gives."""
    torch.manual_seed(0)
    model = Transformer(replace(SMALL, width=64, cross_attention=True))
    before = {name: p.std().item() for name, p in model.stack.named_parameters() if p.ndim == 2}
    initialisation.gpt2(
        model, ["attention.output", "feed_forward.output", "cross_attention.output"]
    )
    for name, std in before.items():
        assert model.stack.get_parameter(name).std().item() == pytest.approx(std, rel=0.1), name


def test_dropout_acts_in_training_only():
    model = Transformer(replace(SMALL, dropout=0.5))
    given_tokens = tokens()
    assert not torch.equal(model(given_tokens), model(given_tokens))
    model.eval()
    assert torch.equal(model(given_tokens), model(given_tokens))


def test_the_embeddings_may_have_a_dropout_of_their_own():
    ours = Transformer(replace(SMALL, dropout=0.0, embedding_dropout=1.0))
    given_tokens = tokens()
    assert not ours.hidden(given_tokens).any()  # in training nothing of a token is left
    theirs = Transformer(replace(SMALL, dropout=0.5, embedding_dropout=0.0))
    given = given_tokens, None, torch.arange(given_tokens.shape[1])
    assert torch.equal(theirs.embedded(*given), theirs.eval().embedded(*given))


def test_positions_may_be_given_for_each_row():
    model = moved(Transformer(SMALL))
    given_tokens = tokens()
    shifted = torch.stack([torch.arange(13), torch.arange(13) + 4])
    rows = model(given_tokens, positions=shifted)
    torch.testing.assert_close(rows[:1], model(given_tokens)[:1])
    expected = model(given_tokens[1:], positions=shifted[1])
    torch.testing.assert_close(rows[1:], expected)
    assert not torch.allclose(rows[1:], model(given_tokens)[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "3 heads, width 16"),
        ({"key_value_heads": 3}, "3 of 2 heads"),
        ({"activation": "gelu_new"}, "did you mean 'gelu_tanh'"),
        ({"norm": "batch"}, r"^norm .*'batch'$"),
        ({"norm_place": "first"}, "pre, post.*'first'"),
        ({"positions": "alibi"}, "rotary.*'alibi'"),
        ({"length": None}, "positions.*length"),
        ({"length": 0}, r"^length .*0$"),
        ({"width": 0}, r"^width .*0$"),
        ({"layers": -1}, r"^layers .*-1$"),
        ({"hidden": -3}, r"^hidden .*-3$"),
        ({"segments": -1}, r"^segments .*-1$"),
        ({"head_width": -2}, r"^head_width .*-2$"),
        ({"norm_eps": -1.0}, r"^norm_eps .*-1.0$"),
        ({"dropout": -0.1}, r"^dropout .*-0.1$"),
        ({"embedding_dropout": 2.0}, r"^embedding_dropout .*2.0$"),
        ({"attention_dropout": 1.5}, r"^attention_dropout .*1.5$"),
        ({"rotary_base": 0.0}, r"^rotary_base .*0$"),
        ({"positions": "rotary", "head_width": 3}, "even head width, got 3"),
        ({"positions": "sinusoidal", "width": 15, "heads": 3}, "even width, got 15"),
    ],
)
def test_a_config_that_no_model_has_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": torch.zeros(1, 25, dtype=torch.long)}, "25 tokens.*24 positions"),
        ({"tokens": torch.zeros(2, 3)}, r"int64.*torch.float32 of shape \(2, 3\)"),
        ({"tokens": torch.zeros(2, 3, dtype=torch.bool)}, "tokens.*int64.*torch.bool"),
        ({"tokens": torch.full((2, 3), 31)}, r"^tokens .*31$"),
        ({"tokens": torch.full((2, 3), -1)}, r"^tokens .*-1$"),
        ({"tokens": torch.zeros(3, dtype=torch.long)}, r"of shape \(3,\)"),
        ({"mask": torch.ones(2, 12, dtype=torch.bool)}, r"\(2, 12\).*\(2, 13\)"),
        ({"mask": torch.ones(2, 13)}, "bool.*torch.float32"),
        ({"segments": torch.zeros(2, 13, dtype=torch.long)}, "segments=0"),
        ({"positions": torch.zeros(2, 12, dtype=torch.long)}, r"\(2, 13\) or.*\(2, 12\)"),
        ({"positions": torch.zeros(13)}, "positions.*int64.*torch.float32"),
        ({"positions": torch.full((13,), 24)}, r"^positions .*24$"),
        ({"context": torch.zeros(2, 5, 16)}, "cross_attention=False"),
    ],
)
def test_wrong_input_is_refused(arguments, message):
    model = Transformer(SMALL)
    with pytest.raises(ValueError, match=message):
        model(**{"tokens": tokens(), **arguments})


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal", "none"])
def test_the_length_bounds_positions_of_every_kind(positions):
    model = Transformer(replace(SMALL, positions=positions))
    with pytest.raises(ValueError, match=r"30 tokens.*24 positions"):
        model(tokens(length=30), positions=torch.arange(30))


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (torch.zeros(2, 5, dtype=torch.long), r"segments.*\(2, 13\), got.*\(2, 5\)"),
        (torch.zeros(13, dtype=torch.long), r"segments.*\(2, 13\), got.*\(13,\)"),
        (torch.zeros(2, 13), "segments.*int64.*torch.float32"),
        (torch.full((2, 13), 2), r"^segments .*2$"),
    ],
)
def test_wrong_segments_are_refused(segments, message):
    with pytest.raises(ValueError, match=message):
        Transformer(replace(SMALL, segments=2))(tokens(), segments=segments)


def test_a_wrong_context_is_refused():
    model = Transformer(replace(SMALL, cross_attention=True))
    with pytest.raises(ValueError, match=r"cross_attention=True.*context"):
        model(tokens())
    with pytest.raises(ValueError, match=r"\(2, length, 16\), got \(3, 5, 16\)"):
        model(tokens(), context=torch.zeros(3, 5, 16))


def test_a_sequence_that_grows_beyond_the_positions_is_refused():
    model = Transformer(SMALL).eval()
    cache = model.new_cache()
    with torch.no_grad():
        model(tokens(length=20), cache=cache)
        with pytest.raises(ValueError, match=r"25 tokens.*24 positions"):
            model(tokens(length=5), cache=cache)


def test_a_call_that_fails_leaves_the_cache_as_it_was():
    torch.manual_seed(0)
    config = replace(SMALL, cross_attention=True)
    model, given_tokens = moved(Transformer(config)), tokens(length=9)
    mask = torch.arange(9) >= torch.tensor([[0], [2]])
    context, other = torch.randn(2, 2, 5, 16)
    last = model.stack.layers[1].feed_forward

    def fail(*_):
        raise MemoryError

    with torch.no_grad():
        expected = model(given_tokens, mask, context=context)
    cache, parts = model.new_cache(), []
    for first, end in ((0, 5), (5, 6), (6, 9)):
        part, of_part = given_tokens[:, first:end], mask[:, first:end]
        with pytest.raises(ValueError, match="no_grad"):
            model(part, of_part, context=context, cache=cache)
        hook = last.register_forward_hook(fail)
        with torch.no_grad(), pytest.raises(MemoryError):
            model(part + 1, of_part, context=context if first else other, cache=cache)
        hook.remove()
        if first:
            with torch.no_grad(), pytest.raises(ValueError, match=r"\b2\b.*\b3$"):
                model(part[[0, 0, 1]], of_part[[0, 0, 1]], context=context[[0, 0, 1]], cache=cache)
        assert cache.length == first
        at = torch.arange(first, end)
        with torch.no_grad():
            parts.append(model(part, of_part, positions=at, context=context, cache=cache))
    torch.testing.assert_close(torch.cat(parts, 1)[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_a_cache_begun_in_inference_mode_goes_on_in_no_grad():
    torch.manual_seed(0)
    model = moved(Transformer(replace(SMALL, length=200)))
    given_tokens = tokens(length=90)
    cache, parts = model.new_cache(), []
    modes = torch.inference_mode, torch.no_grad, torch.inference_mode, torch.no_grad
    for part, mode in zip(given_tokens.split([5, 2, 80, 3], 1), modes, strict=True):
        with mode():
            parts.append(model(part, cache=cache))
    expected = model(given_tokens)
    torch.testing.assert_close(torch.cat(parts, 1), expected, atol=1e-5, rtol=1e-5)


def test_rotary_positions_without_a_length_have_no_bound():
    model = Transformer(replace(SMALL, positions="rotary", length=None))
    assert model(tokens(length=200)).shape == (2, 200, 31)


def test_an_encoder_or_a_mixer_has_no_cache():
    for model in (Transformer(replace(SMALL, causal=False)), Transformer(SMALL, BaseConv)):
        with pytest.raises(ValueError, match="causal attention"):
            model.new_cache()


def test_mixers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"Attention with causal=False.*causal=True"):
        Transformer(SMALL, Attention)  # it would see what comes later
    for mixer in (BaseConv, H3, LinearAttention):
        with pytest.raises(ValueError, match=rf"{mixer.__name__} with causal=True.*causal=False"):
            Transformer(replace(SMALL, causal=False), [None, mixer])
    with pytest.raises(ValueError, match=r"3 mixers.*2 layers"):
        Transformer(SMALL, [BaseConv, None, None])
    with pytest.raises(ValueError, match="rotary"):
        Transformer(replace(SMALL, positions="rotary"), BaseConv)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("query_key_norm", True),
        ("key_value_heads", 1),
        ("head_width", 4),
        ("attention_dropout", 0.5),
        ("attention_scale", 0.5),
    ],
)
def test_a_value_that_no_layer_reads_is_refused(name, value):
    config = replace(SMALL, **{name: value})
    with pytest.raises(ValueError, match=f"{name}={value}.*mixer"):
        Transformer(config, BaseConv)
    Transformer(config, [BaseConv, None])
    if name != "query_key_norm":
        Transformer(replace(config, cross_attention=True), BaseConv)


def test_a_masked_language_model_compiles_as_one_graph():
    torch.compiler.reset()
    torch.manual_seed(0)
    config = replace(SMALL, causal=False, norm_place="post", embedding_norm=True, segments=2)
    model = moved(BertMaskedLM(config))
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    given_tokens, mask = tokens(), torch.arange(13) < torch.tensor([[13], [9]])
    inputs = given_tokens, mask, mask.long()
    torch.testing.assert_close(compiled(*inputs), model(*inputs))


@pytest.mark.parametrize("kind", ["gpt2", "llama", "encoder"])
def test_it_compiles_as_one_graph_the_growing_cache_too(kind):
    """Backend eager: traced, not compiled, as a graph break shows there already."""
    config = {
        "gpt2": SMALL,
        "llama": replace(
            SMALL,
            length=None,
            positions="rotary",
            norm="rms",
            activation="swiglu",
            key_value_heads=1,
        ),
        "encoder": replace(SMALL, causal=False, norm_place="post", segments=2),
    }[kind]
    torch._dynamo.reset()
    torch.manual_seed(0)
    model = moved(Transformer(config))
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    given_tokens = tokens()
    logits = compiled(given_tokens)
    torch.testing.assert_close(logits, model(given_tokens))
    if kind == "llama":
        cache, given_tokens = model.new_cache(), tokens(length=90)
        with torch.no_grad():  # the buffers have room for 5 + 64 tokens at first
            parts = [compiled(part, cache=cache) for part in given_tokens.split([5, 1, 84], 1)]
        expected = model(given_tokens)
        torch.testing.assert_close(torch.cat(parts, 1), expected, atol=1e-5, rtol=1e-5)
