"""Sequence mixers: equal to their direct forms, causal, blind to padding."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import (
    attention_by_matrix,
    convolution_by_sums,
    elu_weight,
    h3_by_steps,
    moved,
    ssm_by_steps,
    taylor_weight,
)
from research_models import (
    H3,
    BaseConv,
    LinearAttention,
    elu_plus_one,
    parameter_count,
    taylor_exp,
)
from research_models.mixers import DiagonalSSM, causal_convolution, causal_linear_attention

few = settings(max_examples=25)


def base_conv(model, x):
    return model.projection(x) * convolution_by_sums(model.convolution, x)


# A factory for `Transformer`, and the direct form of what it makes.
MIXERS = {
    "base_conv": (BaseConv, base_conv),
    "base_conv_long": (partial(BaseConv, kernel_size=30), base_conv),
    "base_conv_implicit": (partial(BaseConv, kernel_size=30, implicit=True), base_conv),
    "h3": (partial(H3, state=6), h3_by_steps),
    "linear": (partial(LinearAttention, chunk=8), partial(attention_by_matrix, weight=elu_weight)),
    "taylor": (
        partial(LinearAttention, feature_map=taylor_exp, head_width=3, bias=False, chunk=8),
        partial(attention_by_matrix, weight=taylor_weight),
    ),
}
names = pytest.mark.parametrize("name", MIXERS)


def made(name, width=8, heads=2):
    return moved(MIXERS[name][0](width, heads))


@names
@few
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 40),
    heads=st.integers(1, 3),
    head=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_a_mixer_equals_its_direct_form(name, batch, length, heads, head, seed):
    torch.manual_seed(seed)
    model, direct = made(name, heads * head, heads), MIXERS[name][1]
    x = torch.randn(batch, length, heads * head)
    expected = direct(model, x)
    assert model(x).shape == x.shape
    # Of H3 the outputs grow to hundreds: relative to the largest.
    assert (model(x) - expected).abs().max() <= 1e-5 * max(1.0, expected.abs().max().item())


@names
def test_gradients_are_those_of_the_direct_form_and_reach_every_parameter(name):
    torch.manual_seed(0)
    model, direct = made(name).double(), MIXERS[name][1]
    x = torch.randn(2, 33, 8, dtype=torch.double, requires_grad=True)
    weights = torch.randn_like(x)
    wanted = [x, *model.parameters()]
    ours, theirs = (
        torch.autograd.grad((each * weights).sum(), wanted) for each in (model(x), direct(model, x))
    )
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-9 * (1 + b.abs().max())
        assert a.abs().max() > 1e-6


@names
@few
@given(length=st.integers(2, 40), data=st.data())
def test_a_later_token_changes_no_earlier_output(name, length, data):
    model = made(name).double()
    place = data.draw(st.integers(1, length - 1))
    x = torch.randn(2, length, 8, dtype=torch.double)
    changed = x.clone()
    changed[:, place] += torch.randn(8)
    before, after = model(x), model(changed)
    # An FFT rounds its whole result: to double's last bits, which no dependence would keep to.
    assert (after - before)[:, :place].abs().max() <= 1e-12 * (1 + before.abs().max())
    assert (after - before)[:, place].abs().max() > 1e-6


@names
@few
@given(data=st.data())
def test_padding_on_either_side_changes_no_output_of_a_real_token(name, data):
    model = made(name)
    length = data.draw(st.integers(1, 20))
    x, mask = torch.randn(3, length, 8), torch.zeros(3, length, dtype=torch.bool)
    for row in range(3):
        first = data.draw(st.integers(0, length - 1))
        mask[row, first : data.draw(st.integers(first + 1, length))] = True
    together = model(x, mask)
    assert together.isfinite().all()
    for row in range(3):
        alone = model(x[row : row + 1, mask[row]])[0]
        scale = max(1.0, alone.abs().max().item())
        assert (together[row, mask[row]] - alone).abs().max() <= 1e-5 * scale
    assert (model(x, torch.ones_like(mask)) - model(x)).abs().max() == 0


@names
def test_rows_without_a_real_token_give_finite_gradients(name):
    model = made(name)
    x, mask = torch.randn(2, 12, 8, requires_grad=True), torch.zeros(2, 12, dtype=torch.bool)
    mask[0, 5:9] = True
    model(x, mask).sum().backward()
    assert all(each.grad.isfinite().all() for each in (x, *model.parameters()))


def test_linear_attention_leaves_out_masked_tokens_wherever_they_stand():
    model = made("linear")
    x, mask = torch.randn(4, 30, 8), torch.rand(4, 30) < 0.5
    mask[:, 0] = True
    expected = attention_by_matrix(model, x, elu_weight, mask)
    assert (model(x, mask) - expected).abs().max() <= 1e-5


@names
def test_a_mixer_in_bfloat16_stays_near_float32(name):
    torch.manual_seed(0)
    model, x = made(name), torch.randn(2, 50, 8)
    exact = model(x)
    rounded = model.bfloat16()(x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() <= 0.03 * exact.norm()


@names
def test_a_mixer_is_one_graph_without_breaks(name):
    model = made(name)
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x, mask = torch.randn(2, 20, 8), torch.ones(2, 20, dtype=torch.bool)
    assert torch.equal(compiled(x, mask), model(x, mask))


@few
@given(length=st.integers(1, 50), steps=st.integers(1, 70), seed=st.integers(0, 9))
def test_a_causal_convolution_is_the_sum_by_fft_and_directly(length, steps, seed):
    torch.manual_seed(seed)
    x, kernel = torch.randn(2, 3, length), torch.randn(3, steps)
    expected = torch.stack(
        [
            sum(kernel[:, s] * x[..., t - s] for s in range(min(t + 1, steps)))
            for t in range(length)
        ],
        dim=-1,
    )
    ours = causal_convolution(x, kernel[:, :length])
    assert (ours - expected).abs().max() <= 1e-5
    with_axis = causal_convolution(x.unsqueeze(1), kernel[:, :length])  # always by FFT
    assert (with_axis.squeeze(1) - expected).abs().max() <= 1e-5


def test_a_diagonal_state_space_model_is_its_recurrence_and_forgets():
    torch.manual_seed(0)
    ssm = moved(DiagonalSSM(3, 8))
    u = torch.randn(3, 2, 200)
    by_filter = causal_convolution(u.movedim(1, 0), ssm(200)).movedim(0, 1)
    assert (by_filter - ssm_by_steps(ssm, u)).abs().max() <= 1e-5
    assert ssm(20_000)[:, -1].abs().max() < 1e-3


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_the_chunk_does_not_change_the_result(chunk):
    q, k = torch.rand(2, 3, 65, 5), torch.rand(2, 3, 65, 5)
    v = torch.randn(2, 3, 65, 4)
    weights = (q @ k.mT).tril()
    expected = weights / weights.sum(-1, keepdim=True) @ v
    assert (causal_linear_attention(q, k, v, chunk) - expected).abs().max() <= 1e-5


@few
@given(width=st.integers(1, 17), seed=st.integers(0, 9))
def test_feature_maps_multiply_to_the_weights_of_their_papers(width, seed):
    torch.manual_seed(seed)
    q, k = torch.randn(50, width), torch.randn(50, width)
    for features, weight in ((elu_plus_one, elu_weight), (taylor_exp, taylor_weight)):
        product = (features(q) * features(k)).sum(-1)
        assert (product - weight(q, k)).abs().max() <= 1e-4
        assert product.min() > 0
    assert taylor_exp(q).shape == (50, 1 + width + width * (width + 1) // 2)


@few
@given(
    heads=st.integers(1, 4),
    head=st.integers(1, 5),
    size=st.integers(1, 20),
    bias=st.booleans(),
)
def test_parameters_are_the_closed_forms(heads, head, size, bias):
    width, state = heads * head, 2 * size
    counts = {
        BaseConv(width, heads, size): width * (width + size + 2),
        BaseConv(width, heads, size, implicit=True): width * (width + 2) + 16 * (39 + width),
        H3(width, heads, state): 4 * width * (width + 1)
        + width * (state + 1)
        + heads * (2 * state + 2),
        LinearAttention(width, heads, head_width=size, bias=bias): 2
        * (width + bias)
        * (heads * size + width),
    }
    for model, count in counts.items():
        assert parameter_count(model) == count


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: LinearAttention(8, 3), "3.*8"),
        (lambda: LinearAttention(8, 2, chunk=0), "chunk.*0"),
        (lambda: LinearAttention(8, 2, head_width=0), "head_width.*0"),
        (lambda: H3(8, 0), "0.*8"),
        (lambda: H3(8, 2, state=5), "5"),
        (lambda: BaseConv(8, kernel_size=0), "0"),
        *(
            (lambda m=m: m(torch.zeros(2, 6, 8), torch.ones(2, 6)), "bool.*float32")
            for m in (BaseConv(8), H3(8, 2), LinearAttention(8, 2))
        ),
        (
            lambda: LinearAttention(8, 2)(torch.zeros(2, 6, 8), torch.ones(6, 2) > 0),
            r"\(6, 2\).*\(2, 6\)",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_values(make, facts):
    with pytest.raises(ValueError, match=facts):
        make()
