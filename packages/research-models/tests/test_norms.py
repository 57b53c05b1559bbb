"""Norms against torch's."""

import pytest
import torch
from research_models import RMSNorm
from research_models.norms import make_norm


def test_rms_norm_and_its_gradients_are_torch_s():
    torch.manual_seed(0)
    ours, theirs = RMSNorm(24, eps=1e-3), torch.nn.RMSNorm(24, eps=1e-3)
    gain = torch.randn(24)
    results = []
    for norm in (ours, theirs):
        norm.weight.data = gain.clone()
        x = torch.randn(3, 5, 24, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = norm(x)
        (y * torch.arange(24)).sum().backward()
        results.append((y, x.grad, norm.weight.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_rms_norm_casts_before_the_gain_multiplies():
    """So as Llama; the other order gives other bits in bfloat16."""
    torch.manual_seed(0)
    norm = RMSNorm(64).bfloat16()
    norm.weight.data = torch.randn(64).bfloat16()
    x = torch.randn(100, 64).bfloat16()
    wide = x.float()
    unit = wide * (wide.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
    assert torch.equal(norm(x), unit.bfloat16() * norm.weight)
    assert not torch.equal(norm(x), (unit * norm.weight.float()).bfloat16())


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_has_a_bias_where_asked_and_its_kind_has_one(kind, bias):
    names = {name for name, _ in make_norm(kind, 8, 1e-5, bias).named_parameters()}
    assert names == {"weight"} | ({"bias"} if bias and kind == "layer" else set())
