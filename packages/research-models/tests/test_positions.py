"""Positions against the papers' equations."""

import math

import pytest
import torch
from research_models import real_positions
from research_models.positions import rotate, rotation, sinusoidal


def test_sinusoidal_positions_are_the_paper_s():
    table = sinusoidal(torch.arange(50), 12)
    for position in (0, 1, 7, 49):
        for i in range(6):
            angle = position / 10_000 ** (2 * i / 12)
            assert table[position, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[position, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_rotation_is_a_product_of_complex_numbers():
    torch.manual_seed(0)
    x, positions = torch.randn(2, 3, 9, 8), torch.arange(9) * 5
    frequencies = 100.0 ** (-torch.arange(4) / 4)
    turned = torch.polar(torch.ones(9, 4), positions[:, None] * frequencies)
    product = torch.complex(*x.chunk(2, -1)) * turned
    expected = torch.cat([product.real, product.imag], -1)
    rotated = rotate(x, rotation(positions, 8, base=100.0))
    torch.testing.assert_close(rotated, expected, atol=1e-5, rtol=0)


def test_products_of_rotated_queries_and_keys_depend_on_the_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 16)
    products = [
        rotate(q, rotation(torch.tensor([at]), 16))
        @ rotate(k, rotation(torch.tensor([at + 3]), 16)).T
        for at in (0, 11, 500)
    ]
    torch.testing.assert_close(products[1], products[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(products[2], products[0], atol=1e-4, rtol=0)


def test_angles_are_float32_whatever_the_model():
    """In bfloat16 positions beyond 256 would be the same as their neighbours."""
    cos, sin = rotation(torch.arange(300), 8)
    assert cos.dtype == sin.dtype == torch.float32
    assert len({tuple(row) for row in cos.tolist()}) == 300


def test_real_positions_count_real_tokens():
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool()
    expected = [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2], [0, 1, 2, 3, 4]]
    assert real_positions(mask).tolist() == expected


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="even width, got 7"):
        sinusoidal(torch.arange(3), 7)
