"""Draw the README's pictures of architectures, from what their code does to an example.

    uv run python packages/research-models/tests/support/draw_blocks.py [FOLDER]

FOLDER: where the SVG files go, by default the package's figures/. A new picture is a line in
PICTURES. The example runs through the model, and every module without children, every function
of torch and every parameter that they read is recorded with its shapes; so a picture can't show
another network than the code is.
"""

import importlib
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from matplotlib.textpath import TextPath
from research_models import (
    H3,
    MLP,
    VAE,
    BaseConv,
    ConvNet,
    LinearAttention,
    RecurrentClassifier,
    TransformerConfig,
    ViT,
    ViTConfig,
)
from research_models.mixers import CausalConvolution
from research_models.positions import rotation
from research_models.resnet import BasicBlock, Bottleneck
from research_models.transformer import Layer
from research_models.unet import Attention, ResidualBlock
from research_viz import save_figure
from research_viz.style import COLOURS, FAINT, FONT_SIZE, INK, SMALL, house_style
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

FIGURES = Path(__file__).resolve().parents[2] / "figures"
BATCH, LENGTH = 7, 11  # no other size of an example, so that shapes can say batch and length


@dataclass(frozen=True)
class Picture:
    """An architecture to draw."""

    name: str
    """The file's name, without its ending."""
    make: Callable[[], nn.Module]
    example: Callable[[], Tensor | tuple[Tensor, ...]]
    """Makes what is fed to the model, BATCH and LENGTH in its shape where they are meant."""
    inputs: tuple[str, ...] = ("x",)
    """The name of each of them."""
    boxes: tuple[type[nn.Module], ...] = ()
    """Modules drawn as one box though they have children."""
    functions: tuple[str, ...] = ()
    """Functions of our own drawn as one box, with their modules: `research_models.mixers.name`."""


class RotatedLayer(Layer):
    """A layer that is given the rotation of its queries and keys."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (BATCH, LENGTH, width). Returns the same shape."""
        return super().forward(x, rotation=rotation(torch.arange(LENGTH), 16))


PICTURES = [
    Picture(
        "mlp",
        lambda: MLP([40, 100, 100, 10], residual=True),
        lambda: torch.zeros(BATCH, 40),
    ),
    Picture(
        "convnet",
        lambda: ConvNet((1, 40), [25, 25, 25], [5, 3, 3], outputs=10),
        lambda: torch.zeros(BATCH, 1, 40),
    ),
    Picture(
        "resnet_block",
        lambda: BasicBlock(16, 32, stride=2, shortcut="B"),
        lambda: torch.zeros(BATCH, 16, 32, 32),
    ),
    Picture(
        "bottleneck",
        lambda: Bottleneck(256, 128, stride=2, shortcut="B"),
        lambda: torch.zeros(BATCH, 256, 56, 56),
    ),
    Picture(
        "vae",
        VAE,
        lambda: torch.zeros(BATCH, 784),
        functions=("research_models.vae.reparametrised", "research_models.vae.gaussian_kl"),
    ),
    Picture(
        "unet_block",
        lambda: ResidualBlock(128, 256, 512, dropout=0.1, groups=32, attention=True),
        lambda: (torch.zeros(BATCH, 128, 16, 16), torch.zeros(BATCH, 512)),
        inputs=("x", "time"),
        boxes=(Attention,),
    ),
    Picture(
        "gru",
        lambda: RecurrentClassifier(3, 6, 10, bidirectional=True, pooling="mean"),
        lambda: torch.zeros(BATCH, LENGTH, 3),
    ),
    Picture(
        "base_conv",
        lambda: BaseConv(64, kernel_size=256),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        boxes=(CausalConvolution,),
    ),
    Picture(
        "gpt2_layer",
        lambda: Layer(TransformerConfig(100, width=64, layers=1, heads=4, length=LENGTH)),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        functions=("research_models.attention.attend",),
    ),
    Picture(
        "bert_layer",
        lambda: Layer(
            TransformerConfig(
                *(100, 64, 1, 4, LENGTH),
                causal=False,
                norm_place="post",
                activation="gelu",
            )
        ),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        functions=("research_models.attention.attend",),
    ),
    Picture(
        "llama_layer",
        lambda: RotatedLayer(
            TransformerConfig(
                *(100, 64, 1, 4),
                key_value_heads=2,
                hidden=160,
                norm="rms",
                activation="swiglu",
                positions="rotary",
                bias=False,
            )
        ),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        functions=("research_models.attention.attend", "research_models.attention.rotate"),
    ),
    Picture(
        "qwen3_layer",
        lambda: RotatedLayer(
            TransformerConfig(
                *(100, 64, 1, 4),
                key_value_heads=2,
                hidden=160,
                norm="rms",
                activation="swiglu",
                positions="rotary",
                query_key_norm=True,
                bias=False,
            )
        ),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        functions=(
            "research_models.attention.attend",
            "research_models.attention.rms_norm",
            "research_models.attention.rotate",
        ),
    ),
    Picture(
        "vit",
        lambda: ViT(ViTConfig(layers=2)),
        lambda: torch.zeros(BATCH, 3, 224, 224),
        inputs=("images",),
        boxes=(Layer,),
    ),
    Picture(
        "h3",
        lambda: H3(64, heads=4),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        functions=("research_models.mixers.causal_convolution",),
    ),
    Picture(
        "linear_attention",
        lambda: LinearAttention(64, heads=4),
        lambda: torch.zeros(BATCH, LENGTH, 64),
        functions=("research_models.mixers.causal_linear_attention",),
    ),
]


# What the code does: a graph of steps, recorded from one pass


@dataclass
class Step:
    """A box of the picture."""

    label: str
    shape: torch.Size
    parameters: int = 0
    inputs: list[tuple[int, torch.Size]] = field(default_factory=list)
    """The steps whose results it reads, and the shapes in which it reads them."""
    end: bool = False
    """Whether it is an input or the output, which have no box."""


# These compute nothing: they show as a change of shape.
VIEWS = {
    *("reshape", "view", "flatten", "unflatten", "transpose", "permute", "movedim", "mT", "T"),
    *("unsqueeze", "squeeze", "expand", "expand_as", "contiguous", "to", "float", "type_as"),
    *("chunk", "split", "unbind", "__getitem__", "pad"),
}
# These read only the shape and the device of what they are given.
FRESH = {"new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "empty_like"}
OUTPUT = "y"
PLUS, MINUS, TIMES, OVER = "+", "\u2212", "\u00d7", "\u00f7"
SIGNS = {
    **dict.fromkeys(["add", "__add__", "__radd__", "__iadd__"], PLUS),
    **dict.fromkeys(["sub", "__sub__"], MINUS),
    **dict.fromkeys(["mul", "__mul__", "__rmul__"], TIMES),
    **dict.fromkeys(["div", "__truediv__"], OVER),
}


class Recorder(TorchFunctionMode):
    """Records what is computed from a tensor, in order."""

    def __init__(self, inputs: dict[str, Tensor]):
        super().__init__()
        self.learned: dict[int, str] = {}
        """Of a parameter that is in no box, its name."""
        self.steps = [Step(name, x.shape, end=True) for name, x in inputs.items()]
        # Of a tensor, the step that gave it.
        self.sources: dict[int, int] = {id(x): step for step, x in enumerate(inputs.values())}
        self.kept = [*inputs.values()]  # an id belongs to another tensor once its own is gone
        self.inside = False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        """Run a function of torch, and record it unless it is part of a box."""
        result = function(*args, **(kwargs or {}))
        name = function.__name__
        if not name.startswith("__"):
            name = name.removesuffix("_")  # in place
        if name == "__get__":  # an attribute: of x.mT or x.shape
            name = function.__self__.__name__
        if not self.inside and name not in FRESH:
            numbers = [arg for arg in args if isinstance(arg, int | float)]
            sign = SIGNS.get(name, name)
            label = f"{sign} {numbers[0]:.3g}" if name in SIGNS and numbers else sign
            self.record(label, [args, kwargs], result, view=name in VIEWS)
        return result

    def record(
        self, label: str, given: object, result: object, parameters: int = 0, view: bool = False
    ) -> None:
        """Add a step that makes result from given; a view is passed over."""
        made = list(tensors(result))
        if not made:
            return
        for tensor in tensors(given):
            if id(tensor) in self.learned and id(tensor) not in self.sources:
                self.sources[id(tensor)] = len(self.steps)
                name = self.learned[id(tensor)]
                self.steps.append(Step(name, tensor.shape, tensor.numel()))
        read = [(self.sources[id(t)], t.shape) for t in tensors(given) if id(t) in self.sources]
        if not read and not parameters:
            return
        if view:
            step = read[0][0]
        else:
            step = len(self.steps)
            self.steps.append(Step(label, made[0].shape, parameters, read))
        for tensor in made:
            self.sources[id(tensor)] = step
            self.kept.append(tensor)

    def box(self, label: str, parameters: int, run: Callable, *args, **kwargs):
        """Run something as one step."""
        if self.inside:
            return run(*args, **kwargs)
        self.inside = True
        try:
            result = run(*args, **kwargs)
        finally:
            self.inside = False
        # Dropout does nothing in evaluation.
        self.record(label, [args, kwargs], result, parameters, view="Dropout" in label)
        return result


def tensors(value: object) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)


def recorded(picture: Picture) -> list[Step]:
    """The steps of a picture's example through its model; the last one is the output."""
    with torch.device("meta"):  # shapes are all that is asked for, so nothing is computed
        return _steps_through(picture.make().eval(), picture)


def _steps_through(model: nn.Module, picture: Picture) -> list[Step]:
    inputs = picture.example()
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    recorder = Recorder(dict(zip(picture.inputs, inputs, strict=True)))
    with ExitStack() as undone, torch.no_grad():
        for name, module in model.named_modules():
            if not list(module.children()) or isinstance(module, picture.boxes):
                label, count = described(module, name), sum(p.numel() for p in module.parameters())
                run = partial(recorder.box, label, count, module.forward)
                undone.enter_context(patch.object(module, "forward", run))
            else:
                own = module.named_parameters(recurse=False)
                recorder.learned |= {id(parameter): key for key, parameter in own}
        for path in picture.functions:
            where, _, name = path.rpartition(".")
            owner = importlib.import_module(where)
            run = partial(recorder.box, name.replace("_", " "), 0, getattr(owner, name))
            undone.enter_context(patch.object(owner, name, run))
        with recorder:
            output = model(*inputs)
    recorder.steps.append(
        Step(OUTPUT, output.shape, 0, [(recorder.sources[id(output)], output.shape)], end=True)
    )
    return recorder.steps


def described(module: nn.Module, name: str) -> str:
    """A module's name in its model if it has one, its class, what the shapes don't tell."""
    kind, name = type(module).__name__, name.rpartition(".")[2]
    parts = [kind if name.isdigit() or name in ("", kind.lower()) else f"{name}: {kind}"]
    for option, usual in (("kernel_size", None), ("stride", 1)):
        value = getattr(module, option, usual)
        value = value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value
        if value != usual:
            parts.append(f"{option.removesuffix('_size')} {value}")
    if isinstance(module, nn.RNNBase):
        parts += ["both directions"] * module.bidirectional
        parts += [f"{module.num_layers} layers"] * (module.num_layers > 1)
    return ", ".join(parts)


def shown(shape: torch.Size) -> str:
    """A shape as docstrings write it."""
    names = {BATCH: "batch", LENGTH: "length"}
    return f"({', '.join(names.get(size, str(size)) for size in shape)})"


def in_words(steps: list[Step]) -> str:
    """The graph as text: a line a step."""
    lines = []
    for number, step in enumerate(steps):
        read = " and ".join(f"{shown(shape)} of {source}" for source, shape in step.inputs)
        learned = f", {step.parameters:,} parameters" if step.parameters else ""
        lines.append(
            f"{number}. {step.label}{learned}: {f'{read} to ' * bool(read)}{shown(step.shape)}"
        )
    return "\n".join(lines)


# Where each box stands

ROW = 0.85  # inches from one row to the next
GAP = 0.25  # inches between two boxes, or a box and an arrow that passes it
ELBOW = 0.42  # inches above the middle of a row, where arrows into its boxes turn
PASSING = 0.49  # and where those turn that pass a box
NOTE = {"color": FAINT, "fontsize": SMALL - 1, "va": "center"}


@dataclass
class Place:
    """A box, or in a row that an arrow passes, the point where it does (step None)."""

    row: int
    step: Step | None
    above: list["Place"] = field(default_factory=list)
    x: float = 0.0
    least_width: float = 0.0
    """What the shapes beside its arrows need."""

    @property
    def alone(self) -> bool:
        """Whether it is a box that no input reaches."""
        boxed = self.step is not None and not self.step.end
        return boxed and all(each.alone for each in self.above)

    @property
    def y(self) -> float:
        """The middle of its row."""
        return -ROW * self.row

    @property
    def half_height(self) -> float:
        """Half the height of its box."""
        if self.step is None or is_sign(self.step) or self.step.end:
            return 0.11
        return 0.19 if self.step.parameters else 0.13

    @property
    def half_width(self) -> float:
        """Half the width of its box."""
        if self.step is None:
            return 0.0
        if is_sign(self.step):
            return 0.11
        return max(self.least_width, max(map(text_width, lines_of(self.step))) + 0.18) / 2

    @property
    def right(self) -> float:
        """How far it and the shapes beside the arrows above and below reach to the right."""
        if self.step is None:
            return 0.0
        last = self.least_width / (2 * max(len(self.step.inputs), 1))
        return max(self.half_width + last, text_width(shown(self.step.shape)))


Arrow = tuple[list[Place], torch.Size]
"""The places that it goes through, and the shape that the last one reads."""


def placed(steps: list[Step]) -> tuple[list[Place], list[Arrow]]:
    """The places of all steps, and the arrows between them.

    A step stands a row below the lowest that it reads, and under the boxes that it reads; one that
    no input reaches, in the row before it is read.
    """
    rows: dict[int, list[Place]] = defaultdict(list)
    places: list[Place] = []
    arrows = []
    for step in steps:
        read = [places[source] for source, _ in step.inputs]
        reached = [each.row for each in read if not each.alone]
        place = Place(max(reached, default=-1) + 1, step)
        if reached:
            settle([each for each in read if each.alone], place.row - 1, rows)
        pairs = zip(read, step.inputs, strict=True)
        changed = [shape for source, (_, shape) in pairs if shape != source.step.shape]
        if len(changed) > 1:
            widest = max(text_width(shown(shape)) for shape in changed)
            place.least_width = len(read) * (widest + 0.05)
        for source, (_, shape) in zip(read, step.inputs, strict=True):
            way = [source]
            for row in range(source.row + 1, place.row):
                way.append(Place(row, None, [way[-1]]))
                rows[row].append(way[-1])
            place.above.append(way[-1])
            arrows.append(([*way, place], shape))
        if reached or step.end:
            rows[place.row].append(place)
        places.append(place)
    for row in sorted(rows):
        arrange(rows[row])
    for (_, *passed, _), _ in arrows:  # straight down where it passes on the right of all boxes
        outer = max((place.x for place in passed), default=0.0)
        if all(place.x > box.x for place in passed for box in rows[place.row] if box.step):
            for place in passed:
                place.x = outer
    return places, arrows


def settle(places: list[Place], row: int, rows: dict[int, list[Place]]) -> None:
    """Put boxes that no input reaches into a row, and those that they read above it."""
    for place in places:
        if not any(place is settled for settled in rows[place.row]):
            place.row = row
            rows[row].append(place)
            settle(place.above, row - 1, rows)


def arrange(row: list[Place]) -> None:
    """Set the x of each place in a row, the rows above being set."""
    for place in row:
        above = place.above
        if len(above) == 2:  # where a residual comes back, stay under the box
            above = [each for each in above if each.step] or above
        place.x = sum(each.x for each in above) / max(len(above), 1)
    row.sort(key=lambda place: (place.alone, place.x, place.step is None))
    wished = [place.x for place in row]
    for left, right in pairwise(row):
        right.x = max(right.x, left.x + left.right + GAP + right.half_width)
    moved = [
        place.x - wish
        for place, wish in zip(row, wished, strict=True)
        if place.step and not place.alone
    ]
    for place in row:
        place.x -= sum(moved) / max(len(moved), 1)


def is_sign(step: Step) -> bool:
    """Whether a step is drawn as a circle: a sum or product of two results."""
    return step.label in SIGNS.values()


def lines_of(step: Step) -> list[str]:
    """The lines in a box."""
    return [step.label] + [f"{step.parameters:,} parameters"] * (step.parameters > 0)


@cache
def text_width(text: str) -> float:
    """The width of a line in inches."""
    return TextPath((0, 0), text, size=FONT_SIZE).get_extents().width / 72


@house_style()
def drawn(steps: list[Step]) -> Figure:
    """The graph as a figure, from top to bottom."""
    places, arrows = placed(steps)
    passed = [point.x for way, _ in arrows for point in way]
    left = min([*passed, *(place.x - place.half_width for place in places)]) - 0.1
    right = max([*passed, *(place.x + place.right for place in places)]) + 0.1
    bottom = min(place.y for place in places) - 0.2
    figure = Figure(figsize=(right - left, 0.2 - bottom))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(left, right), ylim=(bottom, 0.2))
    axes.axis("off")
    for place in places:
        draw_box(axes, place)
        row = [each for each in places if each.row == place.row]
        draw_arrows(axes, place, [arrow for arrow in arrows if arrow[0][-1] is place], row)
    return figure


def draw_arrows(axes: Axes, place: Place, arrows: list[Arrow], row: list[Place]) -> None:
    """All arrows into a box, side by side, each with its shape where a view has changed it.

    row: the boxes in the row of this one.
    """
    arrows.sort(key=lambda arrow: arrow[0][-2].x)
    step = 2 * place.half_width / max(len(arrows), 1)
    entries = [place.x - place.half_width + (n + 0.5) * step for n in range(len(arrows))]
    turns = [way[-2].x - entry for (way, _), entry in zip(arrows, entries, strict=True)]
    for number, ((way, shape), entry) in enumerate(zip(arrows, entries, strict=True)):
        # Of those from one side the outer turn lower, so that no two lines cross or share a place.
        inner = turns[:number] if turns[number] > 0 else turns[number + 1 :]
        lower = 0.06 * sum(turn * turns[number] > 0 for turn in inner)
        near, far = sorted((way[-2].x, place.x))
        blocked = is_sign(place.step) and any(
            near <= box.x < far for box in row if box is not place
        )
        draw_arrow(axes, way, entry, PASSING if blocked else ELBOW - lower, from_above=blocked)
        if shape != way[0].step.shape:
            x, y, side = entry + 0.05, place.y + place.half_height + 0.12, "left"
            if (
                is_sign(place.step) and not blocked and abs(way[-2].x - place.x) > 0.01
            ):  # it enters from a side
                x, y = entry + math.copysign(0.1, way[-2].x - place.x), place.y + 0.09
                side = "left" if way[-2].x > place.x else "right"
            axes.text(x, y, shown(shape), ha=side, **NOTE)


def draw_arrow(
    axes: Axes, way: list[Place], entry: float, elbow: float, from_above: bool = False
) -> None:
    """An arrow through its places to the entry of the last, of upright and level lines.

    elbow: how far above the middle of the last it turns. from_above: not into the side of a circle.
    """
    *before, end = way
    x = before[0].x
    points = [(x, before[0].y - before[0].half_height)]
    sign = is_sign(end.step) and not from_above
    for place in before[1:] if sign else way[1:]:
        to = entry if place is end else place.x
        if abs(to - x) > 0.01:
            level = place.y + (elbow if place is end else PASSING)
            points += [(x, level), (to, level)]
        x = to
    if sign and abs(x - end.x) > 0.01:  # into the side of a circle
        points += [(x, end.y), (end.x + math.copysign(end.half_width, x - end.x), end.y)]
    else:
        points.append((x, end.y + end.half_height))
    axes.plot(*zip(*points[:-1], strict=True), color=FAINT, linewidth=0.9)
    arrow = {"arrowstyle": "-|>", "color": FAINT, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=points[-1], xytext=points[-2], arrowprops=arrow)


def draw_box(axes: Axes, place: Place) -> None:
    """A step: coloured where something is learned, a circle for a sum or product."""
    step, x, y, wide, high = place.step, place.x, place.y, place.half_width, place.half_height
    if is_sign(step):
        axes.add_patch(Circle((x, y), high, facecolor="white", edgecolor=INK, linewidth=0.9))
    elif not step.end:
        axes.add_patch(
            FancyBboxPatch(
                (x - wide + 0.04, y - high + 0.04),
                2 * wide - 0.08,
                2 * high - 0.08,
                boxstyle="round,pad=0.04",
                facecolor=f"{COLOURS[0]}30" if step.parameters else "white",
                edgecolor=COLOURS[0] if step.parameters else INK,
                linewidth=0.9,
            )
        )
    label, *learned = lines_of(step)
    centre = {"ha": "center", "va": "center_baseline"}
    axes.text(x, y + 0.075 * len(learned), label, fontsize=FONT_SIZE, **centre)
    for line in learned:
        axes.text(x, y - 0.075, line, **{**NOTE, **centre})
    if step.label != OUTPUT:
        axes.text(x + 0.05, y - high - 0.1, shown(step.shape), **NOTE)


def draw(folder: Path) -> None:
    """Write every picture into the folder, with its graph in words as its description."""
    for picture in PICTURES:
        steps = recorded(picture)
        save_figure(drawn(steps), folder / picture.name, ["svg"], in_words(steps))


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else FIGURES)
