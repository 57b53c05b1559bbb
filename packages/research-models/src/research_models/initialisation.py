"""Initial weights as papers draw them: He, Glorot, BERT, GPT-2, muP; a function each.

Each draws the weights of a module and of all within it anew, with torch's global generator, and
sets the biases of its linear layers and convolutions to 0:

    torch.manual_seed(0)
    initialisation.he(model)

Norms keep their gains of 1 and biases of 0, and all other parameters what they have. fan_in is the
number of inputs that one output of a layer sums, fan_out the number of outputs that one input goes
to: those of a convolution count its places, channels times kernel size.
"""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def he(
    module: nn.Module, mode: Literal["fan_in", "fan_out"] = "fan_in", slope: float = 0.0
) -> None:
    """Normal with standard deviation sqrt(2 / fan), for layers with ReLU (arXiv 1502.01852).

    mode: "fan_in" keeps the size of activations (equation 10), "fan_out" that of gradients
        (equation 14), as residual networks have it.
    slope: that of a leaky ReLU or PReLU for negative numbers, a: sqrt(2 / ((1 + a^2) fan)).
    """
    draw(module, LAYERS, lambda w, _: nn.init.kaiming_normal_(w, slope, mode, "leaky_relu"))


def glorot(module: nn.Module) -> None:
    """Uniform within sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010, equation 16).

    For layers with tanh.
    """
    draw(module, LAYERS, lambda weight, _: nn.init.xavier_uniform_(weight))


def bert(module: nn.Module, std: float = 0.02) -> None:
    """Normal with standard deviation std, drawn again beyond two of them (arXiv 1810.04805).

    For linear layers, convolutions and embeddings, as in the authors' code (google-research/bert,
    `create_initializer`). What is drawn has a standard deviation of 0.88 std. transformers' BERT
    doesn't truncate.
    """

    def truncated(weight: Tensor, _: str) -> None:
        nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std)

    draw(module, LAYERS + EMBEDDINGS, truncated)


def gpt2(
    module: nn.Module,
    residual: Sequence[str],
    std: float = 0.02,
    mixers: Sequence[nn.Module] = (),
) -> None:
    """Normal with standard deviation std, but std / sqrt(N) in layers that end on the residual.

    Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3: N is
    the number of these layers. For linear layers, convolutions and embeddings.

    residual: how the names of those layers end; N counts the layers with such a name. Those of a
        `Transformer` are `["attention.output", "feed_forward.output"]`, with attention to a context
        `"cross_attention.output"` as well. Raises ValueError when an ending fits no layer.
    mixers: modules within that draw their own weights, and keep them; each ends on the residual, so
        N counts it as well.
    """
    kept = {part for mixer in mixers for part in mixer.modules()}
    names = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, LAYERS) and layer not in kept
    ]
    for ending in residual:
        if not any(ends_with(name, ending) for name in names):
            raise ValueError(f"no layer's name ends with {ending!r}: the layers are {names}")
    scaled = {name for name in names if any(ends_with(name, ending) for ending in residual)}

    of_residual = std / max(len(scaled) + len(mixers), 1) ** 0.5

    def normal(weight: Tensor, name: str) -> None:
        nn.init.normal_(weight, 0.0, of_residual if name in scaled else std)

    draw(module, LAYERS + EMBEDDINGS, normal, kept)


@dataclass(frozen=True)
class MupScale:
    """What muP gives one parameter, each a factor to what the base model has."""

    deviation: float
    """Of the initial weight's standard deviation."""
    multiplier: float
    """Of what the weight computes: the model has to multiply by it."""
    sgd: float
    """Of the learning rate of SGD."""
    adam: float
    """Of the learning rate of Adam, and of other optimizers that scale each coordinate."""


def mup_scales(module: nn.Module, base: nn.Module) -> dict[str, MupScale]:
    """The scale of every parameter by its name in muP (arXiv 2203.03466, Table 8).

    base: the same model in the width whose settings are to hold for every width; it may be on the
        meta device. With m the ratio of a width of module to that of base:

                    input weights, biases, gains   output weights   hidden weights
        deviation   1                              1                1 / sqrt(m of fan_in)
        multiplier  1                              1 / m of fan_in  1
        sgd         m of fan_out                   m of fan_in      1
        adam        1                              1                1 / m of fan_in

    Hidden weights have both dimensions wider than in base, output weights (of linear layers and
    convolutions) only their inputs; all others are input weights, embeddings too. A tied weight is
    listed by both its names: all but the multiplier agree. That of a tied `Transformer` is
    "head.weight" as well as "embedding.weight".

        scales = mup_scales(model, base)
        groups = [{"params": [p], "lr": 1e-3 * scales[name].adam}
                  for name, p in model.named_parameters()]
        optimizer = torch.optim.Adam(groups)

    What a model does itself: multiply its logits by its head's multiplier, and divide the products
    of queries and keys by the head's width instead of its root (Definition 4.1). A `Transformer`:

        replace(config, logit_scale=scales["head.weight"].multiplier,
                attention_scale=base_head_width**0.5 / head_width)

    Raises ValueError when base has other parameters.
    """
    shapes = {name: parameter.shape for name, parameter in all_parameters(base)}
    names = [name for name, _ in all_parameters(module)]
    if shapes.keys() != set(names):
        other = sorted(shapes.keys() ^ set(names))
        raise ValueError(f"model and base must have the same parameters; one lacks {other}")
    outputs = {
        f"{name}.weight".removeprefix(".")
        for name, layer in module.named_modules()
        if isinstance(layer, LAYERS)
    } | tied_parameters(module).keys()
    scales = {}
    for name, parameter in all_parameters(module):
        shape = shapes[name]
        if parameter.ndim != len(shape):
            raise ValueError(
                f"{name} has the shape {tuple(parameter.shape)}, but {tuple(shape)} in base"
            )
        ratios = [now / before for now, before in zip(parameter.shape, shape, strict=True)]
        fan_out, fan_in = [*ratios, 1.0, 1.0][:2]
        if fan_out != 1 and fan_in != 1:
            scales[name] = MupScale(fan_in**-0.5, 1.0, 1.0, 1 / fan_in)
        elif fan_in != 1 and name in outputs:
            scales[name] = MupScale(1.0, 1 / fan_in, fan_in, 1.0)
        else:  # a vector or an embedding: its width may be any dimension, the only one to differ
            scales[name] = MupScale(1.0, 1.0, math.prod(ratios), 1.0)
    return scales


def mup(module: nn.Module, base: nn.Module, std: float = 0.02) -> None:
    """Normal with standard deviation std, in hidden weights std / sqrt(m) (`mup_scales`).

    For linear layers, convolutions and embeddings.

    base: as for `mup_scales`. std: standard deviation of each weight in the base model.
    """
    scales = mup_scales(module, base)

    def normal(weight: Tensor, name: str) -> None:
        scale = scales[f"{name}.weight".removeprefix(".")]
        nn.init.normal_(weight, 0.0, std * scale.deviation)

    draw(module, LAYERS + EMBEDDINGS, normal)


def draw(
    module: nn.Module,
    kinds: tuple[type[nn.Module], ...],
    weight: Callable[[Tensor, str], object],
    kept: Collection[nn.Module] = (),
) -> None:
    """Call weight on the weight of each module of these kinds, with its name; set biases to 0.

    A tied weight is drawn once, under its first name. Those kept are left as they are.
    """
    drawn: set[int] = set()
    for name, each in module.named_modules():
        if each in kept:
            continue
        if isinstance(each, kinds) and id(each.weight) not in drawn:
            drawn.add(id(each.weight))
            weight(each.get_parameter("weight"), name)
        if isinstance(each, LAYERS) and each.bias is not None:
            nn.init.zeros_(each.bias)


def all_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Every parameter with each of its names."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from tied_parameters(module).items()


def tied_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters used again by no module of their own, as the head of a tied `Transformer`."""
    return {
        f"{name}.{again}".removeprefix("."): each.get_parameter(first)
        for name, each in module.named_modules()
        for again, first in getattr(each, "tied_weights", {}).items()
    }


def ends_with(name: str, ending: str) -> bool:
    """Whether the last parts of a module's dotted name are those of ending."""
    return f".{name}".endswith(f".{ending}")
