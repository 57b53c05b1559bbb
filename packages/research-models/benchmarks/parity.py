"""Compare every architecture with its reference, and print the README's table of differences.

    uv run python packages/research-models/benchmarks/parity.py [--write]

--write puts the table between its markers in the README. Models are tiny and random with biases and
gains moved off their defaults, in float32; the difference is the largest absolute one of any
output. The parameters are those of the configuration in the first column. A new row is a function
that compares and a line in ROWS; import `transformers` or `torchvision` inside the function.

The references at the end are direct and slow: the tests use them as well.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from research_models import (
    H3,
    MLP,
    VAE,
    BaseConv,
    BertMaskedLM,
    ConvNet,
    LinearAttention,
    RecurrentClassifier,
    RecurrentLanguageModel,
    ResNet,
    Transformer,
    TransformerConfig,
    UNet,
    ViT,
    ViTConfig,
    elu_plus_one,
    taylor_exp,
)
from research_models.mixers import CausalConvolution, DiagonalSSM
from research_models.unet import Attention, ResidualBlock, Upsample
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- parity: written by parity.py -->", "<!-- /parity -->"
COLUMNS = ("model", "paper", "parameters", "reference", "largest difference found")


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    model: str
    """Class and configuration, as a reader would write it."""
    paper: str
    make: Callable[[], nn.Module]
    """Makes that configuration, on the meta device: only its parameters are counted."""
    reference: str
    compare: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    """Gives pairs of the model's outputs and the reference's."""
    target: float = 1e-5
    """The largest difference that the tests accept."""

    def parameters(self) -> int:
        """How many numbers the configuration learns."""
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.make().parameters())

    def difference(self) -> float:
        """The largest absolute difference of any output."""
        torch.manual_seed(0)
        return max((ours - theirs).abs().max().item() for ours, theirs in self.compare())


def mlp() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(MLP([40, 100, 100, 10], residual=True))
    first, second, last = model.layers
    x = torch.randn(64, 40)
    h = torch.relu(first(x))
    yield model(x), last(h + torch.relu(second(h)))


def convnet() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(ConvNet((1, 40), [25, 25, 25], [5, 3, 3], outputs=10))
    layers = [layer for each in model.convolutions for layer in (each, nn.ReLU())]
    x = torch.randn(64, 1, 40)
    yield model(x), nn.Sequential(*layers, nn.Flatten(), model.linear)(x)


def resnet(depth: int) -> Iterable[tuple[Tensor, Tensor]]:
    import torchvision

    model = moved_norms(ResNet.imagenet(depth))
    reference = getattr(torchvision.models, f"resnet{depth}")()
    reference.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 64, 64)
    for training in (True, False):
        yield model.train(training)(x), reference.train(training)(x)
    yield from zip(model.buffers(), reference.buffers(), strict=True)


def resnet_cifar() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved_norms(ResNet.cifar(20))
    reference = cifar_of_torchvisions_blocks(model, blocks=3)
    x = torch.randn(8, 3, 32, 32)
    for training in (True, False):
        yield model.train(training)(x), reference.train(training)(x)
    yield from zip(model.buffers(), reference.buffers(), strict=True)


def vae() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(VAE(12, 8, 3))
    x = torch.rand(64, 12).round()
    noise = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))
    yield (
        model.elbo(x, torch.Generator().manual_seed(1)),
        elbo_by_distributions(model, x, noise),
    )


def unet() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(UNet(16, width=8, multipliers=(1, 2, 3), attention_at=(8,), groups=4))
    reference = unet_of_diffusers(model)
    x, step = torch.randn(8, 3, 16, 16), torch.arange(0, 1000, 125)
    yield model(x, step), reference(x, step).sample


def classifier() -> Iterable[tuple[Tensor, Tensor]]:
    for cell in ("gru", "lstm"):
        model = moved(RecurrentClassifier(3, 6, 10, cell, layers=2, bidirectional=True))
        reference = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](
            3, 6, num_layers=2, batch_first=True, bidirectional=True
        )
        reference.load_state_dict(model.recurrent.state_dict())
        x, mask = torch.randn(5, 9, 3), torch.rand(5, 9) < 0.7
        mask[:, 4] = True
        for row, real, logits in zip(x, mask, model(x, mask), strict=True):
            last = reference(row[real])[1]  # of this sequence by itself, without padding
            last = last if cell == "gru" else last[0]
            yield logits, model.linear(last[-2:].flatten())


def language_model() -> Iterable[tuple[Tensor, Tensor]]:
    for cell, reference in (("gru", gru_by_steps), ("lstm", lstm_by_steps)):
        model = moved(RecurrentLanguageModel(11, 6, cell=cell, layers=2, tied=True))
        tokens = torch.randint(11, (5, 9))
        yield model(tokens), model.head(reference(model.recurrent, model.embedding(tokens)))


def base_conv(kernel_size: int, implicit: bool) -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(BaseConv(8, kernel_size=kernel_size, implicit=implicit))
    for length in (1, 5, 40, 100):
        x = torch.randn(3, length, 8)
        yield model(x), model.projection(x) * convolution_by_sums(model.convolution, x)


def h3() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(H3(8, 2, state=6))
    x = torch.randn(3, 30, 8)
    yield model(x), h3_by_steps(model, x)


def linear_attention(
    feature_map: Callable[[Tensor], Tensor], weight: Callable[[Tensor, Tensor], Tensor]
) -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(LinearAttention(8, 2, feature_map, head_width=5, chunk=16))
    for length in (1, 16, 100):
        x = torch.randn(3, length, 8)
        yield model(x), attention_by_matrix(model, x, weight)


RESIDUAL = "arXiv 1512.03385"


def published(family: str) -> Iterable[tuple[Tensor, Tensor]]:
    from published import example, ours, reference  # it imports this file

    theirs = reference(family)
    model, (given, fed) = ours(theirs), example(family)
    with torch.no_grad():
        yield model(**fed), theirs(**given).logits
        yield model.hidden(**fed), theirs.base_model(**given).last_hidden_state


def bert_base() -> nn.Module:
    return BertMaskedLM(
        TransformerConfig(
            vocabulary=30522,
            width=768,
            layers=12,
            heads=12,
            length=512,
            causal=False,
            activation="gelu",
            norm_eps=1e-12,
            norm_place="post",
            embedding_norm=True,
            segments=2,
        )
    )


def decoder(**changes: Any) -> nn.Module:
    """Llama's kind."""
    return Transformer(
        TransformerConfig(
            norm="rms", positions="rotary", activation="swiglu", bias=False, **changes
        )
    )


TINY = "3 layers of width 64"
"""What the published families are compared with, not the size in the first column."""

ZOOLOGY = "arXiv 2312.04927"
ROWS = [
    Row(
        "`MLP([40, 100, 100, 10], residual=True)`",
        "arXiv 2011.14439",
        lambda: MLP([40, 100, 100, 10], residual=True),
        "`torch.nn.Linear`, layer by layer",
        mlp,
    ),
    Row(
        "`ConvNet((1, 40), [25, 25, 25], [5, 3, 3], 10)`",
        "arXiv 2011.14439",
        lambda: ConvNet((1, 40), [25, 25, 25], [5, 3, 3], 10),
        "`torch.nn.Sequential` of the layers",
        convnet,
    ),
    Row(
        "`ResNet.cifar(20)`",
        RESIDUAL,
        lambda: ResNet.cifar(20),
        "the blocks of torchvision, in training and evaluation",
        resnet_cifar,
        target=0.0,
    ),
    Row(
        "`ResNet.imagenet(18)`",
        RESIDUAL,
        lambda: ResNet.imagenet(18),
        "torchvision, in training and evaluation",
        lambda: resnet(18),
        target=0.0,
    ),
    Row(
        "`ResNet.imagenet(50)`",
        RESIDUAL,
        lambda: ResNet.imagenet(50),
        "torchvision, in training and evaluation",
        lambda: resnet(50),
        target=0.0,
    ),
    Row(
        "`VAE(784, hidden=500, latents=20)`",
        "arXiv 1312.6114",
        lambda: VAE(784, hidden=500, latents=20),
        "`torch.distributions`",
        vae,
    ),
    Row(
        "`UNet()`",
        "arXiv 2006.11239",
        UNet,
        "diffusers' `UNet2DModel`",
        unet,
    ),
    Row(
        '`RecurrentClassifier(1, 6, 10, bidirectional=True, pooling="flatten", length=40)`',
        "arXiv 2011.14439",
        lambda: RecurrentClassifier(1, 6, 10, bidirectional=True, pooling="flatten", length=40),
        "`torch.nn.GRU` and `LSTM`, each sequence of a padded batch by itself",
        classifier,
    ),
    Row(
        "`RecurrentLanguageModel(10_000, 1500, layers=2)`",
        "arXiv 1409.2329",
        lambda: RecurrentLanguageModel(10_000, 1500, layers=2),
        "the equations of GRU and LSTM, step by step",
        language_model,
    ),
    Row(
        "`BaseConv(64)`",
        ZOOLOGY,
        lambda: BaseConv(64),
        "the convolution as a sum",
        lambda: base_conv(kernel_size=3, implicit=False),
    ),
    Row(
        "`BaseConv(64, kernel_size=256)`",
        ZOOLOGY,
        lambda: BaseConv(64, kernel_size=256),
        "the convolution as a sum",
        lambda: base_conv(kernel_size=40, implicit=False),
    ),
    Row(
        "`BaseConv(64, kernel_size=256, implicit=True)`",
        ZOOLOGY,
        lambda: BaseConv(64, kernel_size=256, implicit=True),
        "the convolution as a sum",
        lambda: base_conv(kernel_size=40, implicit=True),
    ),
    Row(
        "`H3(64, heads=32)`",
        "arXiv 2212.14052",
        lambda: H3(64, heads=32),
        "the recurrences of both state-space models, step by step",
        h3,
    ),
    Row(
        "`LinearAttention(64, heads=1)`",
        "arXiv 2006.16236",
        lambda: LinearAttention(64, heads=1),
        "the masked matrix of weights",
        lambda: linear_attention(elu_plus_one, elu_weight),
    ),
    Row(
        "`LinearAttention(64, 1, taylor_exp, head_width=16, bias=False)`",
        "arXiv 2402.18668",
        lambda: LinearAttention(64, 1, taylor_exp, head_width=16, bias=False),
        "the masked matrix of weights 1 + z + z²/2",
        lambda: linear_attention(taylor_exp, taylor_weight),
    ),
    Row(
        "`Transformer`, GPT-2's smallest",
        "Radford et al. 2019",
        lambda: Transformer(TransformerConfig(50257, width=768, layers=12, heads=12, length=1024)),
        f"transformers' GPT2LMHeadModel, {TINY}",
        lambda: published("gpt2"),
        5e-6,
    ),
    Row(
        "`Transformer`, Llama 2 7B's",
        "arXiv 2307.09288",
        lambda: decoder(
            vocabulary=32000, width=4096, layers=32, heads=32, hidden=11008, tied=False
        ),
        f"transformers' LlamaForCausalLM, with grouped queries, {TINY}",
        lambda: published("llama"),
        5e-6,
    ),
    Row(
        "`Transformer`, Qwen3 0.6B's",
        "arXiv 2505.09388",
        lambda: decoder(
            vocabulary=151936,
            width=1024,
            layers=28,
            heads=16,
            key_value_heads=8,
            head_width=128,
            hidden=3072,
            query_key_norm=True,
        ),
        f"transformers' Qwen3ForCausalLM, {TINY}",
        lambda: published("qwen3"),
        5e-6,
    ),
    Row(
        "`BertMaskedLM`, BERT-base's",
        "arXiv 1810.04805",
        bert_base,
        f"transformers' BertForMaskedLM, {TINY}",
        lambda: published("bert"),
        5e-6,
    ),
    Row(
        "`ViT(ViTConfig())`, ViT-B/16's",
        "arXiv 2010.11929",
        lambda: ViT(ViTConfig()),
        f"transformers' ViTForImageClassification, {TINY}",
        lambda: published("vit"),
        5e-6,
    ),
]


def moved(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, each parameter a little off its initial value."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


def moved_norms(model: ResNet) -> ResNet:
    """The model with the gains, biases and statistics of its norms off their initial values."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 2)
        model.fc.bias.normal_()
    return model


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in rows:
        difference = row.difference()
        shown = f"{difference:.0e}" if difference else "0"
        cells = (row.model, row.paper, f"{row.parameters():,}", row.reference, shown)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, and write it into the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="also write it into the README")
    options = parser.parse_args()
    text = table(ROWS)
    print(text)
    if options.write:
        page = README.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


# The references


class OptionA(nn.Module):
    """ResNet's shortcut without parameters: zeros, and the input put among them."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width). Returns (batch, 2 channels, height/2, width/2)."""
        batch, channels, height, width = x.shape
        y = x.new_zeros(batch, 2 * channels, height // 2, width // 2)
        y[:, :channels] = x[:, :, ::2, ::2]
        return y


def cifar_of_torchvisions_blocks(model: ResNet, blocks: int) -> nn.Module:
    """The CIFAR form of torchvision's blocks, with the weights and statistics of the model."""
    from torchvision.models.resnet import BasicBlock

    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for width in (16, 32, 64):
        if width > channels:
            layers.append(BasicBlock(channels, width, stride=2, downsample=OptionA()))
        else:
            layers.append(BasicBlock(channels, width))
        layers += [BasicBlock(width, width) for _ in range(blocks - 1)]
        channels = width
    network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    values = model.state_dict().values()
    network.load_state_dict(dict(zip(network.state_dict(), values, strict=True)))
    return network


def elbo_by_distributions(model: VAE, x: Tensor, noise: Tensor) -> Tensor:
    """The VAE's lower bound by torch.distributions.

    x: (batch, ...). noise: (batch, latents), that of z. Returns (batch,).
    """
    x = x.flatten(1)
    hidden = torch.tanh(model.encoder(x))
    encoder = Normal(model.mean(hidden), model.log_variance(hidden).exp().sqrt())
    z = encoder.loc + encoder.scale * noise
    decoder = Bernoulli(logits=model.logits(torch.tanh(model.decoder(z))))
    return decoder.log_prob(x).sum(-1) - kl_divergence(encoder, Normal(0.0, 1.0)).sum(-1)


def unet_of_diffusers(model: UNet) -> nn.Module:
    """diffusers' network of DDPM with the model's levels and weights, in evaluation mode."""
    from diffusers.models.unets.unet_2d import UNet2DModel

    blocks = [layer for layer in model.up if isinstance(layer, ResidualBlock)]
    on_each = len(blocks) // (1 + sum(isinstance(layer, Upsample) for layer in model.up))
    last = blocks[on_each - 1 :: on_each]  # of each level, from the lowest up
    attended = [isinstance(block.attention, Attention) for block in last]
    reference = UNet2DModel(
        sample_size=model.size,
        down_block_types=[("Down", "AttnDown")[a] + "Block2D" for a in attended[::-1]],
        up_block_types=[("Up", "AttnUp")[a] + "Block2D" for a in attended],
        block_out_channels=[block.last.out_channels for block in last[::-1]],
        layers_per_block=on_each - 1,
        attention_head_dim=None,
        norm_num_groups=model.norm.num_groups,
        norm_eps=model.norm.eps,
        freq_shift=1,  # the last frequency is 1 / 10,000
        flip_sin_to_cos=False,
        downsample_padding=0,  # it pads below and to the right
    ).eval()
    pairs = [
        (model.time[0], reference.time_embedding.linear_1),
        (model.time[2], reference.time_embedding.linear_2),
        (model.first, reference.conv_in),
        (model.norm, reference.conv_norm_out),
        (model.last, reference.conv_out),
    ]
    ours, theirs = [*model.down, *model.middle, *model.up], []
    for level in reference.down_blocks:
        theirs += [*level.resnets, *(each.conv for each in level.downsamplers or ())]
    theirs += reference.mid_block.resnets
    for level in reference.up_blocks:
        theirs += [*level.resnets, *(each.conv for each in level.upsamplers or ())]
    attentions = [
        attention
        for level in (*reference.down_blocks, reference.mid_block, *reference.up_blocks)
        for attention in getattr(level, "attentions", ())
    ]
    for layer, other in zip(ours, theirs, strict=True):
        if not isinstance(layer, ResidualBlock):
            pairs.append((layer.convolution, other))
            continue
        pairs += [
            (layer.norm1, other.norm1),
            (layer.first, other.conv1),
            (layer.time, other.time_emb_proj),
            (layer.norm2, other.norm2),
            (layer.last, other.conv2),
        ]
        if other.conv_shortcut is not None:
            pairs.append((layer.shortcut, other.conv_shortcut))
        if isinstance(layer.attention, Attention):
            attention = attentions.pop(0)
            pairs += [
                (layer.attention.norm, attention.group_norm),
                (layer.attention.query, attention.to_q),
                (layer.attention.key, attention.to_k),
                (layer.attention.value, attention.to_v),
                (layer.attention.last, attention.to_out[0]),
            ]
    assert not attentions
    for layer, other in pairs:
        other.load_state_dict(layer.state_dict())
    return reference


def gru_by_steps(recurrent: nn.GRU, x: Tensor) -> Tensor:
    """The equations of a GRU (cuDNN's form), layer by layer and step by step.

    x: (batch, length, inputs). Returns the last layer's outputs, (batch, length, hidden).
    """
    for w_x, w_h, b_x, b_h in recurrent.all_weights:
        h = x.new_zeros(len(x), recurrent.hidden_size)
        outputs = []
        for step in x.unbind(1):
            reset_x, update_x, new_x = (step @ w_x.T + b_x).chunk(3, -1)
            reset_h, update_h, new_h = (h @ w_h.T + b_h).chunk(3, -1)
            update = torch.sigmoid(update_x + update_h)
            new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            h = (1 - update) * new + update * h
            outputs.append(h)
        x = torch.stack(outputs, 1)
    return x


def lstm_by_steps(recurrent: nn.LSTM, x: Tensor) -> Tensor:
    """The equations of an LSTM; as `gru_by_steps`."""
    for w_x, w_h, b_x, b_h in recurrent.all_weights:
        h = c = x.new_zeros(len(x), recurrent.hidden_size)
        outputs = []
        for step in x.unbind(1):
            enter, forget, new, leave = (step @ w_x.T + b_x + h @ w_h.T + b_h).chunk(4, -1)
            c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(new)
            h = torch.sigmoid(leave) * torch.tanh(c)
            outputs.append(h)
        x = torch.stack(outputs, 1)
    return x


def convolution_by_sums(convolution: CausalConvolution, x: Tensor) -> Tensor:
    """A causal convolution, each output a sum over the filter. x: (batch, length, width)."""
    kernel = convolution.filter(x.shape[1])  # (width, steps)
    outputs = []
    for t in range(x.shape[1]):
        terms = [kernel[:, s] * x[:, t - s] for s in range(min(t + 1, kernel.shape[1]))]
        outputs.append(sum(terms) + convolution.bias)
    return torch.stack(outputs, 1)


def ssm_by_steps(ssm: DiagonalSSM, u: Tensor) -> Tensor:
    """The recurrence of diagonal state-space models, held constant over each step.

    u: (channels, ..., length). Returns the same shape.
    """
    a = torch.complex(-ssm.log_decay.exp(), ssm.frequency)
    a_dt = a * ssm.log_step.exp()[:, None]
    c = torch.view_as_complex(ssm.readout)
    state = torch.zeros_like(a).view(len(a), *[1] * (u.ndim - 2), -1)
    a, a_dt, c = (part.view_as(state) for part in (a, a_dt, c))
    outputs = []
    for step in u.unbind(-1):
        state = a_dt.exp() * state + (a_dt.exp() - 1) / a * step.unsqueeze(-1)
        outputs.append(2 * (c * state).sum(-1).real)
    return torch.stack(outputs, -1)


def h3_by_steps(model: H3, x: Tensor) -> Tensor:
    """H3 with both models as recurrences. x: (batch, length, width)."""
    q, k, v = (layer(x) for layer in (model.query, model.key, model.value))
    # The shift: the state is the last keys, newest first, (batch, width, state).
    state = torch.zeros(len(x), x.shape[2], model.shift.values.shape[1])
    keys = []
    for key in k.unbind(1):
        state = torch.cat([key.unsqueeze(-1), state[..., :-1]], -1)
        keys.append((state * model.shift.values).sum(-1) + model.shift_skip * key)
    k = torch.stack(keys, 1)
    outputs = []
    split = [part.chunk(model.heads, dim=-1) for part in (q, k, v)]
    products = torch.stack(
        [k.unsqueeze(3) * v.unsqueeze(2) for k, v in zip(*split[1:], strict=True)]
    )
    memory = ssm_by_steps(model.diagonal, products.movedim(2, -1)).movedim(-1, 2)
    for head, query in enumerate(split[0]):
        recalled = memory[head] + model.diagonal_skip[head] * products[head]
        outputs.append(torch.einsum("blk,blkv->blv", query, recalled))
    return model.output(torch.cat(outputs, -1))


def attention_by_matrix(
    model: LinearAttention,
    x: Tensor,
    weight: Callable[[Tensor, Tensor], Tensor],
    mask: Tensor | None = None,
) -> Tensor:
    """Linear attention by the whole matrix of weights. x: (batch, length, width).

    weight: from queries (batch, length, 1, head) and keys (batch, 1, length, head) to the weights.
    """
    heads = []
    parts = (layer(x).chunk(model.heads, -1) for layer in (model.query, model.key, model.value))
    for q, k, v in zip(*parts, strict=True):
        weights = weight(q.unsqueeze(2), k.unsqueeze(1)).tril()
        if mask is not None:
            weights = weights * mask.unsqueeze(1)
        heads.append(weights / weights.sum(-1, keepdim=True) @ v)
    return model.output(torch.cat(heads, -1))


def elu_weight(q: Tensor, k: Tensor) -> Tensor:
    """(elu(q) + 1) . (elu(k) + 1), as in Katharopoulos et al."""
    return ((nn.functional.elu(q) + 1) * (nn.functional.elu(k) + 1)).sum(-1)


def taylor_weight(q: Tensor, k: Tensor) -> Tensor:
    """The second-order Taylor polynomial of exp(q . k / sqrt(d)), as in Based."""
    z = (q * k).sum(-1) / q.shape[-1] ** 0.5
    return 1 + z + z**2 / 2


if __name__ == "__main__":
    sys.exit(main())
