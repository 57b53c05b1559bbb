"""Norms against torch's."""

import pytest
import torch
from research_models import RMSNorm
from research_models.norms import make_norm, rms_norm


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


def test_derivatives_of_every_kind_are_those_of_the_plain_form():
    """Gradients, second derivatives, forward mode; each over a batch by vmap as well."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    for shape in ((6,), (3, 1, 6)):
        weight = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        given = x if len(shape) == 1 else x.detach().unsqueeze(2).requires_grad_()
        kwargs = {"check_forward_ad": True, "check_batched_grad": True}
        assert torch.autograd.gradcheck(lambda *xw: rms_norm(*xw, 1e-3), (given, weight), **kwargs)
        assert torch.autograd.gradgradcheck(lambda *xw: rms_norm(*xw, 1e-3), (given, weight))
    weight = torch.randn(6, dtype=torch.float64)
    hessians = [
        torch.func.vmap(torch.func.hessian(lambda row, norm=norm: norm(row).square().sum()))(x[0])
        for norm in (
            lambda row: rms_norm(row, weight, 1e-3),
            lambda row: torch.nn.functional.rms_norm(row, (6,), weight, 1e-3),
        )
    ]
    torch.testing.assert_close(*hessians)


def test_it_keeps_one_tensor_and_a_number_a_row_for_backward():
    norm, x = RMSNorm(64), torch.randn(10, 64, requires_grad=True)
    kept = []

    def pack(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        norm(x)
    assert sum(kept) == x.numel() + 10 + 64


def test_it_gives_the_same_without_a_gradient():
    torch.manual_seed(0)
    norm, x = RMSNorm(64), torch.randn(10, 64)
    with torch.no_grad():
        without = norm(x)
    assert torch.equal(without, norm(x))


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_has_a_bias_where_asked_and_its_kind_has_one(kind, bias):
    names = {name for name, _ in make_norm(kind, 8, 1e-5, bias).named_parameters()}
    assert names == {"weight"} | ({"bias"} if bias and kind == "layer" else set())
