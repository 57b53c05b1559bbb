"""Time of forward and backward: ResNet-18 against torchvision, ResNet-20 by layout.

    uv run python packages/research-models/benchmarks/resnet.py [--repeats 7] [--device cuda]

A round runs each network once, each second round in the reverse order. The table has the median
over the rounds of the time's ratio to the first network's in the same round, with the lowest and
the highest. Networks in channels_last get images in that layout.
"""

import argparse
import statistics
from dataclasses import dataclass

import torch
import torchvision
from research_models import ResNet
from timing import interleaved, spread
from torch import Tensor, nn


@dataclass(frozen=True)
class Entrant:
    """A network with the images that it is fed."""

    name: str
    model: nn.Module
    images: Tensor
    classes: Tensor

    def train(self) -> None:
        """One forward and backward pass."""
        self.model.zero_grad()
        nn.functional.cross_entropy(self.model(self.images), self.classes).backward()


def entrants(
    models: dict[str, nn.Module], batch: int, size: int, classes: int, device: str
) -> list[Entrant]:
    """The networks with the same images, in the layout that is in their name."""
    images = torch.randn(batch, 3, size, size, device=device)
    of_images = torch.randint(classes, (batch,), device=device)
    made = []
    for name, model in models.items():
        last = "channels_last" in name
        layout = torch.channels_last if last else torch.contiguous_format
        model = model.to(device, memory_format=layout).train()
        made.append(Entrant(name, model, images.to(memory_format=layout), of_images))
    return made


def compare(networks: list[Entrant], repeats: int) -> None:
    """Print a row a network; ratios are to the first."""
    times = interleaved(repeats, {network.name: network.train for network in networks})
    for name, of_rounds in times.items():
        print(
            f"| {name} | {1e3 * statistics.median(of_rounds):.4g} "
            f"| {spread(of_rounds, times[networks[0].name])} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds; every second one reversed")
    parser.add_argument("--batch", type=int, default=128, help="images of CIFAR's size")
    parser.add_argument("--large-batch", type=int, default=8, help="images of ImageNet's size")
    parser.add_argument("--large-size", type=int, default=224, help="their height and width")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(
        f"float32, {options.device}, {options.threads} threads, {options.repeats} rounds; "
        f"ResNet-20: {options.batch} images of 32x32, ResNet-18: {options.large_batch} of "
        f"{options.large_size}x{options.large_size}"
    )
    print("| network | ms | ratio to the first |")
    print("|---|---|---|")
    of_imagenet = {
        "torchvision's ResNet-18": torchvision.models.resnet18(),
        "ResNet-18": ResNet.imagenet(18),
        "ResNet-18, channels_last": ResNet.imagenet(18),
    }
    of_cifar = {
        "ResNet-20": ResNet.cifar(20),
        "ResNet-20, channels_last": ResNet.cifar(20),
    }
    size, batch = options.large_size, options.large_batch
    compare(entrants(of_imagenet, batch, size, 1000, options.device), options.repeats)
    compare(entrants(of_cifar, options.batch, 32, 10, options.device), options.repeats)


if __name__ == "__main__":
    main()
