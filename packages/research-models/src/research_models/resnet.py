"""Residual networks for images: the forms for CIFAR and for ImageNet."""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from research_models.choices import one_of
from research_models.initialisation import he

Shortcut = Literal["A", "B"]


class ResNet(nn.Module):
    """A residual network (He et al., arXiv 1512.03385).

        ResNet.cifar(20)       # section 4.2: 20, 32, 44, 56, 110 layers, 32x32 images
        ResNet.imagenet(50)    # Table 1: 18, 34, 50, 101, 152 layers, 224x224 images

    A stem, stages of residual blocks, the mean over all places, a linear layer. The first block of
    each stage but the first halves height and width; a stage is twice as wide as the one before.

    blocks: number of blocks of each stage.
    width: channels of the first stage; of a bottleneck, those of its 3x3 convolution.
    outputs: features of the result, such as the number of classes.
    block: "basic", two 3x3 convolutions (Figure 5, left), or "bottleneck", a 1x1, a 3x3 and a 1x1
        convolution, the last to four times the width (Figure 5, right).
    shortcut: what a block whose shape changes adds to its result (section 4.1): "A", its input,
        every stride-th place of it, with zeros for the new channels; "B", a 1x1 convolution of its
        input, with batch normalisation.
    stem: "cifar", a 3x3 convolution; "imagenet", a 7x7 convolution of stride 2 and a 3x3 maximum
        of stride 2.

    `state_dict()` has torchvision's names, shapes and order, so `imagenet(depth)` reads the files
    of `torchvision.models.resnet50` and its like.

    Parameters: those of Table 6 for `cifar`, 269,722 to 1,727,962; 11,689,512 for `imagenet(18)`,
    25,557,032 for `imagenet(50)`.
    Initialisation: convolutions as He et al. (arXiv 1502.01852), by their outputs; gains 1, biases
    0; the linear layer's weight uniform within 1 / sqrt(its inputs). This is that of the authors'
    code (facebookarchive/fb.resnet.torch).
    Departs from the paper in that the stride of a bottleneck is in its 3x3 convolution, as in the
    same code and torchvision, where the paper has it in the first 1x1.

    `model.to(memory_format=torch.channels_last)` is faster for `cifar` on a CPU
    (benchmarks/resnet.py); images may then have either layout.
    """

    def __init__(
        self,
        blocks: Sequence[int],
        width: int,
        outputs: int,
        block: Literal["basic", "bottleneck"] = "basic",
        shortcut: Shortcut = "B",
        stem: Literal["cifar", "imagenet"] = "imagenet",
    ):
        super().__init__()
        one_of("block", block, BLOCKS)
        one_of("shortcut", shortcut, ("A", "B"))
        one_of("stem", stem, ("cifar", "imagenet"))
        if not blocks or min(blocks) < 1:
            raise ValueError(f"each stage needs a block or more, got {list(blocks)}")
        small = stem == "cifar"
        self.conv1 = convolution(3, width, 3 if small else 7, stride=1 if small else 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        make_block = partial(BLOCKS[block], shortcut=shortcut)
        self.stages = [f"layer{number}" for number, _ in enumerate(blocks, start=1)]
        channels = width
        for stage, number in enumerate(blocks):
            layers = []
            for position in range(number):
                stride = 2 if stage > 0 and position == 0 else 1
                layers.append(make_block(channels, width * 2**stage, stride=stride))
                channels = layers[-1].channels
            self.add_module(self.stages[stage], nn.Sequential(*layers))
        he(self, mode="fan_out")
        self.fc = nn.Linear(channels, outputs)
        nn.init.zeros_(self.fc.bias)

    @classmethod
    def cifar(cls, depth: int, outputs: int = 10, shortcut: Shortcut = "A") -> "ResNet":
        """The network of section 4.2, three stages of n blocks: depth is 6 n + 2."""
        blocks, rest = divmod(depth - 2, 6)
        if rest or blocks < 1:
            raise ValueError(f"depth must be 6 n + 2, such as 20 or 110, got {depth}")
        return cls([blocks] * 3, 16, outputs, shortcut=shortcut, stem="cifar")

    @classmethod
    def imagenet(cls, depth: int, outputs: int = 1000, shortcut: Shortcut = "B") -> "ResNet":
        """The network of Table 1 with 18, 34, 50, 101 or 152 layers."""
        if depth not in IMAGENET:
            raise ValueError(f"depth must be one of {', '.join(map(str, IMAGENET))}, got {depth}")
        return cls(IMAGENET[depth], 64, outputs, "basic" if depth < 50 else "bottleneck", shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 3, height, width). Returns (batch, outputs)."""
        return self.fc(self.features(x)[-1].mean((2, 3)))

    def features(self, x: Tensor) -> list[Tensor]:
        """The output of each stage, (batch, channels, height, width).

        x: as for forward.
        """
        x = self.maxpool(self.bn1(self.conv1(x)).relu_())
        outputs = []
        for stage in self.stages:
            x = getattr(self, stage)(x)
            outputs.append(x)
        return outputs


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (Figure 5, left): relu(x + F(x))."""

    def __init__(self, inputs: int, width: int, stride: int, shortcut: Shortcut):
        super().__init__()
        self.channels = width
        self.conv1 = convolution(inputs, width, 3, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut(shortcut, inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, inputs, height, width). Returns (batch, width, height/stride, ...)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y))
        return y.add_(self.downsample(x)).relu_()


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, with a shortcut (Figure 5, right): relu(x + F(x))."""

    def __init__(self, inputs: int, width: int, stride: int, shortcut: Shortcut):
        super().__init__()
        self.channels = 4 * width
        self.conv1 = convolution(inputs, width, 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = convolution(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = convolution(width, self.channels, 1)
        self.bn3 = nn.BatchNorm2d(self.channels)
        self.downsample = make_shortcut(shortcut, inputs, self.channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, inputs, height, width). Returns (batch, 4 width, height/stride, ...)."""
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        y = self.bn3(self.conv3(y))
        return y.add_(self.downsample(x)).relu_()


class ZeroPaddedShortcut(nn.Module):
    """Every stride-th place of the input, with zeros for the channels it lacks (option A)."""

    def __init__(self, new_channels: int, stride: int):
        super().__init__()
        self.new_channels = new_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, inputs, height, width). Returns (batch, inputs + new_channels, ...)."""
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, 0, self.new_channels))


def make_shortcut(shortcut: Shortcut, inputs: int, outputs: int, stride: int) -> nn.Module:
    """What a block adds to its result: its input, or option A or B where the shape changes."""
    if inputs == outputs and stride == 1:
        return nn.Identity()
    if shortcut == "A":
        return ZeroPaddedShortcut(outputs - inputs, stride)
    return nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps height and width but for its stride; the bias is the norm's."""
    return nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {
    "basic": BasicBlock,
    "bottleneck": Bottleneck,
}
IMAGENET = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
