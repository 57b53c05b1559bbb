"""Generation: the cache changes nothing, sampling draws as transformers does, bad input."""

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parity import moved
from research_models import BaseConv, Transformer, TransformerConfig, generate
from research_models.generation import sampling_logits

SMALL = TransformerConfig(vocabulary=31, width=16, layers=2, heads=2, length=24)


def model_of(**changes):
    torch.manual_seed(0)
    return moved(Transformer(replace(SMALL, **changes)))


def by_hand(model, prompt, new, **arguments):
    """Greedy tokens, all read again for each."""
    for _ in range(new):
        token = model(prompt, **arguments)[:, -1].argmax(-1)
        prompt = torch.cat([prompt, token[:, None]], 1)
    return prompt[:, -new:]


@pytest.mark.parametrize("positions", ["learned", "rotary", "sinusoidal", "none"])
def test_greedy_tokens_are_those_of_reading_all_again(positions):
    model = model_of(positions=positions)
    prompt = torch.randint(31, (3, 6))
    assert torch.equal(generate(model, prompt, 12), by_hand(model, prompt, 12))


def test_a_padded_prompt_gives_what_it_gives_alone():
    model = model_of()
    prompt = torch.randint(31, (2, 6))
    mask = torch.arange(6) >= torch.tensor([[0], [4]])
    both = generate(model, prompt, 8, mask)
    assert torch.equal(both[:1], generate(model, prompt[:1], 8))
    assert torch.equal(both[1:], generate(model, prompt[1:, 4:], 8))


@pytest.mark.parametrize("padded", [False, True])
def test_a_model_with_a_mixer_reads_all_again(padded):
    torch.manual_seed(0)
    model = moved(Transformer(replace(SMALL, positions="none"), [BaseConv, None]))
    prompt = torch.randint(31, (2, 6))
    mask = torch.arange(6) >= torch.tensor([[0], [4]]) if padded else None
    made = generate(model, prompt, 8, mask)
    assert torch.equal(made[:1], by_hand(model, prompt[:1], 8))
    alone = prompt[1:, 4:] if padded else prompt[1:]
    assert torch.equal(made[1:], by_hand(model, alone, 8))


def test_a_decoder_reads_its_context():
    model = model_of(cross_attention=True)
    prompt, context = torch.randint(31, (2, 3)), torch.randn(2, 5, 16)
    expected = by_hand(model, prompt, 6, context=context)
    assert torch.equal(generate(model, prompt, 6, context=context), expected)


@pytest.mark.parametrize("others", [0, 1, 2])
def test_a_row_that_has_ended_has_only_the_token_that_ended_it(others):
    model = model_of()
    prompt = torch.randint(31, (4, 6))
    free = generate(model, prompt, 12)
    ends = [int(free[0, 3]), *(int(row[5]) for row in free[1 : 1 + others])]
    made = generate(model, prompt, 12, eos=ends if others else ends[0])
    for row, unbound in zip(made.tolist(), free.tolist(), strict=True):
        end = next((place for place, token in enumerate(row) if token in ends), len(row))
        assert row[:end] == unbound[: len(row)][:end]
        assert set(row[end:]) <= {unbound[end] if end < len(row) else None}
    alone = generate(model, prompt[:1], 12, eos=ends)
    assert alone.shape[1] == min(free[0].tolist().index(e) for e in ends if e in free[0]) + 1


@settings(max_examples=25)
@given(
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.one_of(st.none(), st.integers(1, 15)),
    top_p=st.one_of(st.none(), st.floats(0.05, 1.0)),
    seed=st.integers(0, 99),
)
def test_what_can_be_drawn_is_what_transformers_draws_from(temperature, top_k, top_p, seed):
    from transformers.generation.logits_process import (
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    torch.manual_seed(seed)
    logits = torch.randn(4, 12) * 3
    expected = TemperatureLogitsWarper(temperature)(None, logits)
    if top_k is not None:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if top_p is not None and top_p < 1:
        # Both add float32 probabilities, from opposite ends: a sum at top_p itself is either's.
        less_likely = expected.double().softmax(-1).sort(-1).values.cumsum(-1)
        assume(((less_likely - (1 - top_p)).abs() > 1e-5).all())
        expected = TopPLogitsWarper(top_p)(None, expected)
    assert torch.equal(sampling_logits(logits, temperature, top_k, top_p), expected)


@pytest.mark.parametrize("seed", range(20))
def test_a_top_p_of_1_leaves_out_no_token(seed):
    """Of as many tokens as GPT-2 has, float32's sum reaches 1 before the last."""
    torch.manual_seed(seed)
    logits = torch.randn(1, 50_257) * 4
    assert torch.equal(sampling_logits(logits, top_p=1.0), logits)


def test_drawn_tokens_follow_the_probabilities():
    model = model_of()
    prompt = torch.randint(31, (1, 6)).expand(4000, -1)
    generator = torch.Generator().manual_seed(3)
    drawn = generate(model, prompt, 1, temperature=1.5, top_k=5, generator=generator)[:, 0]
    expected = sampling_logits(model(prompt[:1])[0, -1], 1.5, 5).softmax(-1)
    share = torch.bincount(drawn, minlength=31) / 4000
    assert (share - expected).abs().max() < 0.03
    assert not share[expected == 0].any()
    again = torch.Generator().manual_seed(3)
    assert torch.equal(
        generate(model, prompt, 1, temperature=1.5, top_k=5, generator=again)[:, 0], drawn
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"new_tokens": 19}, "6 .*19 .*24 "),
        ({"new_tokens": -3}, "new_tokens.*got -3"),
        ({"temperature": -1.0}, "got -1"),
        ({"temperature": float("nan")}, "got nan"),
        ({"temperature": float("inf")}, "got inf"),
        ({"eos": 31}, "eos.*30, got 31"),
        ({"eos": [3, -1]}, "eos.*got -1"),
        ({"mask": torch.tensor([[True] * 6, [False] * 6])}, "row 1 .*mask"),
        ({"top_k": 3}, "temperature.*top_k=3"),
        ({"temperature": 1.0, "top_k": 0}, "got 0"),
        ({"temperature": 1.0, "top_p": 1.5}, "got 1.5"),
        ({"mask": torch.tensor([[True] * 5 + [False]] * 2)}, "padded on the left"),
        ({"mask": torch.tensor([[True, False] + [True] * 4] * 2)}, "padded on the left"),
        ({"mask": torch.ones(2, 5, dtype=torch.bool)}, r"\(2, 5\).*\(2, 6\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    prompt = torch.randint(31, (2, 6))
    with pytest.raises(ValueError, match=message):
        generate(model_of(), prompt, **{"new_tokens": 3, **arguments})


def test_an_encoder_generates_nothing():
    with pytest.raises(ValueError, match="causal=False"):
        generate(model_of(causal=False), torch.randint(31, (2, 6)), 3)


def test_no_new_tokens_are_none():
    assert generate(model_of(), torch.randint(31, (2, 6)), 0).shape == (2, 0)
