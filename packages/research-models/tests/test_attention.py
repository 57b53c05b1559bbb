"""Attention against torch's MultiheadAttention, and its mask, cache and groups."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import moved
from research_models import Attention, CrossAttention
from research_models.attention import KeyValues
from research_models.positions import rotate, rotation
from torch.nn.functional import rms_norm

few = settings(max_examples=25)


def torch_s(width, heads, query_key_value, output, bias):
    """torch's attention with these layers."""
    model = torch.nn.MultiheadAttention(width, heads, bias=bias, batch_first=True)
    weights = {"in_proj_weight": query_key_value[0], "out_proj.weight": output.weight}
    if bias:
        weights |= {"in_proj_bias": query_key_value[1], "out_proj.bias": output.bias}
    model.load_state_dict(weights)
    return model.eval()


@few
@given(
    heads=st.integers(1, 3),
    head=st.integers(1, 5),
    length=st.integers(1, 9),
    causal=st.booleans(),
    bias=st.booleans(),
    padded=st.booleans(),
)
def test_it_is_torch_s_multihead_attention(heads, head, length, causal, bias, padded):
    torch.manual_seed(0)
    width = heads * head
    model = moved(Attention(width, heads, causal=causal, bias=bias))
    both = model.query_key_value.weight, model.query_key_value.bias
    theirs = torch_s(width, heads, both, model.output, bias)
    x = torch.randn(2, length, width)
    mask = torch.rand(2, length) < 0.7 if padded else None
    if mask is not None:
        mask[:, 0] = True  # a row that sees no key is NaN there
    later = torch.ones(length, length).triu(1).bool() if causal else None
    expected, _ = theirs(x, x, x, key_padding_mask=None if mask is None else ~mask, attn_mask=later)
    torch.testing.assert_close(model(x, mask), expected, atol=1e-5, rtol=1e-5)


def test_attention_to_a_context_is_torch_s():
    torch.manual_seed(0)
    model = moved(CrossAttention(12, 3))
    weight = torch.cat([model.query.weight, model.key_value.weight])
    both = weight, torch.cat([model.query.bias, model.key_value.bias])
    theirs = torch_s(12, 3, both, model.output, bias=True)
    x, context, mask = torch.randn(2, 4, 12), torch.randn(2, 7, 12), torch.rand(2, 7) < 0.7
    mask[:, 0] = True
    expected, _ = theirs(x, context, context, key_padding_mask=~mask)
    torch.testing.assert_close(model(x, context, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
def test_a_group_of_heads_shares_keys_and_values(padded):
    torch.manual_seed(0)
    grouped = moved(Attention(24, 6, key_value_heads=2, causal=True))
    q, k, v = grouped.query_key_value.weight.split([24, 8, 8])
    bq, bk, bv = grouped.query_key_value.bias.split([24, 8, 8])
    k, v = (each.unflatten(0, (2, 4)).repeat_interleave(3, 0).flatten(0, 1) for each in (k, v))
    bk, bv = (each.unflatten(0, (2, 4)).repeat_interleave(3, 0).flatten() for each in (bk, bv))
    full = Attention(24, 6, causal=True).eval()
    full.load_state_dict(
        grouped.state_dict()
        | {"query_key_value.weight": torch.cat([q, k, v])}
        | {"query_key_value.bias": torch.cat([bq, bk, bv])}
    )
    x = torch.randn(2, 9, 24)
    mask = torch.arange(9) >= torch.tensor([[0], [3]]) if padded else None
    torch.testing.assert_close(grouped(x, mask), full(x, mask), atol=1e-5, rtol=1e-5)


def test_queries_and_keys_are_normalised_before_they_are_rotated():
    torch.manual_seed(0)
    model = moved(Attention(12, 2, 1, head_width=8, query_key_norm=1e-3, bias=False))
    x = torch.randn(2, 5, 12)
    turned = rotation(torch.arange(5), 8)
    q, k, v = (x @ model.query_key_value.weight.T).split([16, 8, 8], -1)
    q = q.unflatten(-1, (2, 8)).transpose(1, 2)
    k, v = k.unsqueeze(1), v.unsqueeze(1)
    q, k = (
        rms_norm(part, (8,), gain, 1e-3)
        for part, gain in ((q, model.query_gain), (k, model.key_gain))
    )
    q, k = rotate(q, turned), rotate(k, turned)
    y = (q @ k.mT / 8**0.5).softmax(-1) @ v
    expected = y.transpose(1, 2).flatten(2) @ model.output.weight.T
    torch.testing.assert_close(model(x, rotation=turned), expected, atol=1e-5, rtol=1e-5)


@few
@given(chunks=st.lists(st.integers(1, 90), min_size=1, max_size=4), padded=st.booleans())
def test_a_cache_fed_in_any_chunks_gives_what_one_pass_gives(chunks, padded):
    torch.manual_seed(0)
    model = moved(Attention(8, 2, causal=True))
    length = sum(chunks)
    x = torch.randn(2, length, 8)
    mask = torch.arange(length) >= torch.tensor([[0], [length // 2]]) if padded else None
    cache, parts, end = KeyValues(), [], 0
    with torch.no_grad():
        for part in x.split(chunks, dim=1):
            end += part.shape[1]
            seen = None if mask is None else mask[:, :end]
            parts.append(model(part, seen, cache=cache))
        expected = model(x, mask)
    torch.testing.assert_close(torch.cat(parts, 1), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing_and_has_no_gradient(side):
    torch.manual_seed(0)
    model = moved(Attention(8, 2, causal=True))
    real = torch.randn(1, 5, 8)
    x = torch.randn(1, 9, 8)
    at = slice(4, 9) if side == "left" else slice(0, 5)
    x[:, at] = real
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[:, at] = True
    x.requires_grad_()
    y = model(x, mask)
    torch.testing.assert_close(y[:, at], model(real), atol=1e-6, rtol=1e-5)
    y[:, at].sum().backward()
    assert x.grad.isfinite().all()
    assert not x.grad[~mask].any()


@pytest.mark.parametrize("groups", [4, 2])
@pytest.mark.parametrize("padded", [False, True])
def test_the_scale_multiplies_the_products(groups, padded):
    torch.manual_seed(0)
    model = moved(Attention(16, 4, groups, scale=0.3))
    x = torch.randn(2, 5, 16)
    mask = torch.ones(2, 5, dtype=torch.bool) if padded else None
    usual = Attention(16, 4, groups).eval()
    state = model.state_dict()
    for name in ("query_key_value.weight", "query_key_value.bias"):
        state[name] = state[name].clone()
        state[name][:16] *= 0.3 * 4**0.5
    usual.load_state_dict(state)
    torch.testing.assert_close(model(x, mask), usual(x, mask), atol=1e-6, rtol=1e-5)
    torch.manual_seed(0)
    model, other = moved(CrossAttention(16, 4, groups, scale=0.3)), CrossAttention(16, 4, groups)
    state = {name: each.clone() for name, each in model.state_dict().items()}
    for name in ("query.weight", "query.bias"):
        state[name] *= 0.3 * 4**0.5
    other.load_state_dict(state)
    context = torch.randn(2, 5, 16)
    expected = other.eval()(x, context, mask)
    torch.testing.assert_close(model(x, context, mask), expected, atol=1e-6, rtol=1e-5)


def test_dropout_acts_in_training_only():
    torch.manual_seed(0)
    model = Attention(8, 2, dropout=0.5)
    x = torch.randn(2, 6, 8)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"heads": 5}, "5 heads, width 12"),
        ({"heads": 0}, "0 heads"),
        ({"heads": 2, "head_width": 0}, r"^head_width .*0$"),
        ({"heads": 6, "key_value_heads": 4}, "4 of 6 heads"),
    ],
)
def test_heads_that_divide_nothing_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Attention(12, **arguments)


def test_a_mask_of_another_shape_or_dtype_is_refused():
    model, x = Attention(8, 2), torch.randn(2, 6, 8)
    with pytest.raises(ValueError, match=r"\(2, 5\).*\(2, 6\)"):
        model(x, torch.ones(2, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"must be bool.*torch.float32"):
        model(x, torch.ones(2, 6))


def test_a_cache_is_refused_where_a_gradient_is_wanted_or_the_batch_differs():
    model, cache = Attention(8, 2, causal=True), KeyValues()
    with pytest.raises(ValueError, match="no_grad"):
        model(torch.randn(2, 6, 8), cache=cache)
    with torch.no_grad():
        model(torch.randn(2, 6, 8), cache=cache)
        with pytest.raises(ValueError, match=r"\b2\b.*\b3$"):
            model(torch.randn(3, 1, 8), cache=cache)
