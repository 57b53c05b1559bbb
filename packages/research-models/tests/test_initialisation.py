"""Initial weights: the statistics of what is drawn are those of each paper."""

import math
from dataclasses import replace

import pytest
import torch
from research_models import MLP, BertMaskedLM, Transformer, TransformerConfig, initialisation
from torch import nn

WIDE = 400  # 160,000 weights: a standard deviation is found to 0.2 %


class Block(nn.Module):
    """What a Transformer's block has, as far as initial weights go."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.output = nn.Linear(width, width)


class Model(nn.Module):
    """Embeddings, two blocks and a head."""

    def __init__(self, width, tied=False, tokens=300):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.positions = nn.Parameter(torch.full((20, width), 0.5))
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.head = nn.Linear(width, tokens)
        if tied:
            self.head.weight = self.embedding.weight


def std(weight):
    assert abs(weight.mean().item()) < 5 * weight.std().item() / weight.numel() ** 0.5
    return weight.std().item()


def close(value):
    return pytest.approx(value, rel=0.01)


def is_normal(weight):
    """Whether as many lie within one and two standard deviations as of a normal distribution."""
    z = weight.abs() / weight.std()
    shares = [(z < bound).float().mean().item() for bound in (1, 2)]
    return shares == [pytest.approx(math.erf(bound / 2**0.5), abs=0.01) for bound in (1, 2)]


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_he_keeps_activations_or_gradients(slope):
    model = nn.Sequential(nn.Linear(300, 500), nn.Conv2d(100, 50, 3), nn.BatchNorm2d(50))
    linear, convolution, norm = model
    torch.manual_seed(0)
    for mode, fans in (("fan_in", (300, 900)), ("fan_out", (500, 450))):
        nn.init.ones_(linear.bias)
        initialisation.he(model, mode, slope)
        for layer, fan in zip((linear, convolution), fans, strict=True):
            assert std(layer.weight) == close((2 / ((1 + slope**2) * fan)) ** 0.5)
            assert is_normal(layer.weight)
            assert not layer.bias.any()
        assert norm.weight.eq(1).all()


def test_he_keeps_the_size_of_activations_through_many_layers():
    torch.manual_seed(0)
    model = MLP([512] * 31)
    initialisation.he(model)
    x = torch.randn(64, 512)
    assert 0.25 < model(x).square().mean() / x.square().mean() < 4  # 2^-30 with 1 / fan_in


def test_glorot_is_uniform_within_its_bound():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 500), nn.Conv2d(100, 50, 3))
    initialisation.glorot(model)
    for layer, fans in zip(model, (800, 900 + 450), strict=True):
        bound = (6 / fans) ** 0.5
        assert std(layer.weight) == close(bound / 3**0.5)
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max().item() == close(bound)
        assert not layer.bias.any()


def test_bert_is_cut_at_two_standard_deviations():
    torch.manual_seed(0)
    model = Model(WIDE)
    initialisation.bert(model)
    # The standard deviation of a normal distribution cut at two of them.
    density, within = math.exp(-2) / (2 * math.pi) ** 0.5, math.erf(2**0.5)
    expected = 0.02 * (1 - 4 * density / within) ** 0.5
    for weight in (model.embedding.weight, model.blocks[0].query.weight, model.head.weight):
        assert std(weight) == close(expected)
        assert weight.abs().max() <= 0.04
        assert weight.abs().max().item() == close(0.04)
    assert not model.head.bias.any()
    assert model.blocks[0].norm.weight.eq(1).all()
    assert model.positions.eq(0.5).all()


def test_a_masked_language_model_begins_as_bert():
    torch.manual_seed(0)
    config = TransformerConfig(400, 128, 3, 4, 100, causal=False, norm_place="post", segments=2)
    for name, parameter in BertMaskedLM(config).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "norm" in name:
            assert parameter.eq(1).all()
        else:
            assert parameter.abs().max() <= 0.04
            assert parameter.std().item() == pytest.approx(0.0176, rel=0.1), name


@pytest.mark.parametrize("tied", [False, True])
def test_gpt2_scales_the_layers_that_end_on_the_residual(tied):
    torch.manual_seed(0)
    model = Model(WIDE, tied)
    initialisation.gpt2(model, residual=["output"])
    for weight in (model.embedding.weight, model.blocks[0].query.weight, model.head.weight):
        assert std(weight) == close(0.02)
        assert is_normal(weight)
    for block in model.blocks:
        assert std(block.output.weight) == close(0.02 / 2**0.5)
        assert not block.output.bias.any()
        assert block.norm.weight.eq(1).all()
    with pytest.raises(ValueError, match=r"'put'.*blocks\.0\.output"):
        initialisation.gpt2(model, residual=["output", "put"])


def test_mup_has_the_rows_of_its_table_for_a_wider_model():
    scale = initialisation.MupScale
    with torch.device("meta"):
        base, model, tied = Model(100), Model(400), Model(400, tied=True)
        scales = initialisation.mup_scales(model, base)
        of_tied = initialisation.mup_scales(tied, Model(100, tied=True))
    inputs, hidden, outputs = scale(1, 1, 4, 1), scale(1 / 2, 1, 1, 1 / 4), scale(1, 1 / 4, 4, 1)
    assert scales == {
        "positions": inputs,
        "embedding.weight": inputs,
        **{
            f"blocks.{number}.{name}": hidden
            if name in ("query.weight", "output.weight")
            else inputs
            for number in range(2)
            for name, _ in model.blocks[number].named_parameters()
        },
        "head.weight": outputs,
        "head.bias": scale(1, 1, 1, 1),
    }
    assert of_tied == scales
    assert set(initialisation.mup_scales(base, base).values()) == {scale(1, 1, 1, 1)}


def test_mup_draws_hidden_weights_smaller_in_a_wider_model():
    torch.manual_seed(0)
    model = Model(WIDE)
    initialisation.mup(model, base=Model(100), std=0.04)
    assert std(model.embedding.weight) == close(0.04)
    assert std(model.head.weight) == close(0.04)
    assert std(model.blocks[1].query.weight) == close(0.02)
    assert is_normal(model.blocks[1].query.weight)
    assert not model.blocks[1].query.bias.any()
    assert model.positions.eq(0.5).all()


def test_in_mup_a_step_of_adam_changes_every_width_alike():
    """A coordinate check: how much the logits change in some steps, over widths."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 10), torch.randint(3, (64,))
    base = MLP([10, 64, 64, 3])

    def change(width, mup):
        changes = []
        for _ in range(4):
            model = MLP([10, width, width, 3])
            scales = initialisation.mup_scales(model, base if mup else model)
            initialisation.mup(model, base if mup else model, std=64**-0.5)
            multiplier = scales["layers.2.weight"].multiplier
            groups = [
                {"params": [p], "lr": 1e-3 * scales[name].adam}
                for name, p in model.named_parameters()
            ]
            optimizer = torch.optim.Adam(groups)
            before = model(x).detach() * multiplier
            for _ in range(3):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x) * multiplier, y).backward()
                optimizer.step()
            changes.append((model(x) * multiplier - before).detach().abs().mean())
        return torch.stack(changes).mean().item()

    assert change(1024, mup=True) / change(64, mup=True) == pytest.approx(1, abs=0.35)
    assert change(1024, mup=False) / change(64, mup=False) > 3


@pytest.mark.parametrize("tied", [False, True])
def test_in_mup_a_step_of_adam_changes_a_transformer_of_every_width_alike(tied):
    """A coordinate check of the library's own model, with the scales of its config."""
    torch.manual_seed(0)
    tokens, targets = torch.randint(31, (2, 16, 12))

    def config(width):
        return TransformerConfig(31, width, 2, 4, 12, tied=tied)

    base = Transformer(config(32))

    def change(width, mup):
        changes = []
        for _ in range(3):
            own = config(width)
            scales = initialisation.mup_scales(Transformer(own), base if mup else Transformer(own))
            own = replace(own, logit_scale=scales["head.weight"].multiplier)
            if mup:
                own = replace(own, attention_scale=8**0.5 / (width // 4))
            model = Transformer(own)
            initialisation.mup(model, base if mup else model, std=32**-0.5)
            groups = [
                {"params": [p], "lr": 2e-3 * scales[name].adam}
                for name, p in model.named_parameters()
            ]
            optimizer = torch.optim.Adam(groups)
            before = model(tokens).detach()
            for _ in range(3):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(tokens).mT, targets).backward()
                optimizer.step()
            changes.append((model(tokens) - before).detach().abs().mean())
        return torch.stack(changes).mean().item()

    assert change(256, mup=True) / change(64, mup=True) == pytest.approx(1, abs=0.35)
    assert change(256, mup=False) / change(64, mup=False) > 2


def test_a_tied_head_has_the_scale_of_an_output_weight():
    def model(width):
        return Transformer(TransformerConfig(31, width, 1, 4, 12))

    with torch.device("meta"):
        scales = initialisation.mup_scales(model(128), model(32))
    assert scales["head.weight"] == initialisation.MupScale(1, 1 / 4, 4, 1)
    assert scales["embedding.weight"] == initialisation.MupScale(1, 1, 4, 1)


def test_a_base_of_another_architecture_is_refused():
    for model, base in ((MLP([4, 7, 3]), MLP([4, 5, 5, 3])), (MLP([4, 7, 7, 3]), MLP([4, 5, 3]))):
        with pytest.raises(ValueError, match=r"layers\.2\.bias.*layers\.2\.weight"):
            initialisation.mup_scales(model, base)


def test_a_parameter_with_other_dimensions_than_in_base_is_refused():
    with pytest.raises(ValueError, match=r"weight.*\(3, 4, 5\).*\(3, 4\)"):
        initialisation.mup_scales(nn.Conv1d(4, 3, 5), nn.Linear(4, 3))
