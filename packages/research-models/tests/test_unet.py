"""The U-Net of DDPM: equal to diffusers', with the paper's parameters."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import moved, unet_of_diffusers
from research_models import UNet, parameter_count
from research_models.unet import Attention, ResidualBlock, sinusoidal
from torch import nn


def tiny(**changes):
    options = {"size": 16, "width": 8, "multipliers": (1, 2), "attention_at": (8,), "groups": 4}
    return UNet(**options | changes)


def test_the_networks_of_the_paper_have_its_parameters():
    """Appendix B: 35.7 million for CIFAR-10, 114 million for LSUN and CelebA-HQ."""
    with torch.device("meta"):
        cifar, large = UNet(), UNet(256, multipliers=(1, 1, 2, 2, 4, 4), dropout=0.0)
        noise = cifar(torch.zeros(2, 3, 32, 32), torch.zeros(2))
    assert parameter_count(cifar) == 35_746_307
    assert round(parameter_count(large) / 1e6) == 114
    assert noise.shape == (2, 3, 32, 32)


def test_the_network_of_cifar_has_attention_at_16_and_in_the_middle_only():
    with torch.device("meta"):
        model = UNet()
        sizes = []
        for module in model.modules():
            if isinstance(module, Attention):
                module.register_forward_hook(lambda _, x, __: sizes.append(tuple(x[0].shape[1:])))
        model(torch.zeros(2, 3, 32, 32), torch.zeros(2))
    assert sizes == [(256, 16, 16)] * 2 + [(256, 4, 4)] + [(256, 16, 16)] * 3
    assert {each.p for each in model.modules() if isinstance(each, nn.Dropout)} == {0.1}


def test_outputs_and_gradients_are_those_of_diffusers():
    torch.manual_seed(0)
    model = moved(tiny(multipliers=(1, 2, 3)))
    reference = unet_of_diffusers(model)
    x, step = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 500, 999])
    ours, theirs = model(x, step), reference(x, step).sample
    assert (ours - theirs).abs().max() <= 5e-6
    weights = torch.randn_like(ours)
    for each in (ours, theirs):
        (each * weights).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.grad)
    in_their_names = unet_of_diffusers(model).named_parameters()  # our gradients
    for (name, a), (_, b) in zip(in_their_names, reference.named_parameters(), strict=True):
        assert (a - b.grad).abs().max() <= 5e-6 * b.grad.abs().max().clamp(min=1), name


def test_attention_is_the_softmax_of_all_places():
    torch.manual_seed(0)
    layer = moved(Attention(8, groups=4))
    x = torch.randn(2, 8, 3, 5)
    places = layer.norm(x).flatten(2).mT
    query, key, value = (each(places) for each in (layer.query, layer.key, layer.value))
    weights = (query @ key.mT / 8**0.5).softmax(-1)
    expected = x + layer.last(weights @ value).mT.reshape(x.shape)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_the_time_has_sines_and_cosines_from_1_to_a_ten_thousandth():
    step = torch.tensor([0, 1, 999])
    embedding = sinusoidal(step, 8)
    for row, t in zip(embedding, step.tolist(), strict=True):
        angles = [t * 10_000 ** (-i / 3) for i in range(4)]
        expected = [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
        assert row.tolist() == pytest.approx(expected, abs=1e-4)


def test_a_new_network_gives_zeros_and_every_block_its_input():
    torch.manual_seed(0)
    model = tiny()
    x, step = torch.randn(2, 3, 16, 16), torch.tensor([3, 4])
    assert not model(x, step).any()
    block = next(each for each in model.modules() if isinstance(each, ResidualBlock))
    h, time = torch.randn(2, 8, 4, 4), torch.randn(2, 32)
    assert torch.equal(block(h, time), h)
    attention = next(each for each in model.modules() if isinstance(each, Attention))
    for layer, fans in ((model.first, 3 * 9 + 8 * 9), (attention.query, 16 + 16)):
        bound = (6 / fans) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max() <= bound


def test_the_step_of_each_image_matters_to_it_alone():
    torch.manual_seed(0)
    model = moved(tiny())
    x = torch.randn(2, 3, 16, 16)
    first, other = model(x, torch.tensor([3, 4])), model(x, torch.tensor([3, 400]))
    assert torch.equal(first[0], other[0])
    assert not torch.allclose(first[1], other[1])


def parameters_of_the_closed_form(width, multipliers, blocks, attention, image_channels):
    """attention: whether each level has it."""
    time = 4 * width
    total = width * time + time + time * time + time
    total += 9 * image_channels * width + width
    widths = [width * multiplier for multiplier in multipliers]

    def block(inputs, outputs, attended):
        count = 2 * inputs + 9 * inputs * outputs + outputs + time * outputs + outputs
        count += 2 * outputs + 9 * outputs**2 + outputs
        count += (inputs * outputs + outputs) * (inputs != outputs)
        return count + attended * (2 * outputs + 4 * (outputs**2 + outputs))

    skips, now = [width], width
    for level, outputs in enumerate(widths):
        if level:
            total += 9 * now**2 + now
            skips.append(now)
        for _ in range(blocks):
            total += block(now, outputs, attention[level])
            now = outputs
            skips.append(now)
    total += block(now, now, True) + block(now, now, False)
    for level in reversed(range(len(widths))):
        for _ in range(blocks + 1):
            total += block(now + skips.pop(), widths[level], attention[level])
            now = widths[level]
        if level:
            total += 9 * now**2 + now
    return total + 2 * now + 9 * now * image_channels + image_channels


@settings(max_examples=25)
@given(st.data())
def test_any_configuration_runs_and_has_the_parameters_of_the_closed_form(data):
    multipliers = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    heights = [8 // 2**level for level in range(len(multipliers))]
    attention = [data.draw(st.booleans()) for _ in heights]
    blocks, channels = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    model = UNet(
        8,
        channels,
        width=4,
        multipliers=multipliers,
        blocks=blocks,
        attention_at=[h for h, attended in zip(heights, attention, strict=True) if attended],
        groups=data.draw(st.sampled_from([1, 2, 4])),
    )
    expected = parameters_of_the_closed_form(4, multipliers, blocks, attention, channels)
    assert parameter_count(model) == expected
    assert model(torch.randn(2, channels, 8, 8), torch.tensor([0, 9])).shape == (2, channels, 8, 8)


def test_the_network_runs_in_channels_last_and_bfloat16():
    torch.manual_seed(0)
    model = moved(tiny())
    x, step = torch.randn(2, 3, 16, 16), torch.tensor([3, 4])
    expected = model(x, step)
    last = model.to(memory_format=torch.channels_last)(x, step)
    assert torch.allclose(last, expected, atol=1e-5)
    half = model.bfloat16()(x.bfloat16(), step)
    assert half.dtype == torch.bfloat16
    assert (half - expected).abs().max() < 0.1 * expected.abs().max()


def test_the_network_compiles_without_a_break():
    torch.manual_seed(0)
    model = moved(tiny())
    x, step = torch.randn(2, 3, 16, 16), torch.tensor([3, 4])
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x, step), model(x, step), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "facts"),
    [
        (lambda: tiny(size=15), "15.*2 levels"),
        (lambda: tiny(multipliers=()), "16.*0 levels"),
        (lambda: tiny(width=7, groups=7), "even.*7"),
        (lambda: tiny(multipliers=(1, 0)), r"4 groups.*\[8, 0\]"),
        (lambda: tiny(width=10), r"4 groups.*\[10, 20\]"),
        (lambda: tiny(attention_at=(4, 8)), r"\[4\].*\[16, 8\]"),
        (lambda: tiny()(torch.zeros(2, 3, 8, 8), torch.zeros(2)), r"16x16.*\(2, 3, 8, 8\)"),
        (lambda: tiny()(torch.zeros(2, 3, 16, 16), torch.zeros(1)), r"2 images.*\(1,\)"),
        (lambda: tiny()(torch.zeros(2, 3, 16, 16), torch.tensor(3)), r"2 images.*\(\)"),
    ],
)
def test_what_cannot_be_is_refused_with_both_values(make, facts):
    with pytest.raises(ValueError, match=facts):
        make()
