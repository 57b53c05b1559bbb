"""Images a second: augmented as a batch, and by torchvision's transforms in a DataLoader.

    uv run python packages/research-data/benchmarks/augment.py [--repeats 5] [--images 10000]

Both crop 32x32 images that were padded by 4, flip half of them, and normalise: the augmentation of
paper-resnet-cifar10, and the transforms that do the same in two workers. An epoch each, in
turn and in both orders; the workers' start is left out, as they live on from epoch to epoch.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable

import torch
from paper_resnet_cifar10.model import augment
from research_data import Batches
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

BATCH = 128
MEAN = (0.4914, 0.4822, 0.4465)


class Pictures(Dataset[Tensor]):
    """PIL images through transforms, as torchvision's CIFAR10 gives them."""

    def __init__(self, images: Tensor):
        self._images = images.permute(0, 2, 3, 1).contiguous().numpy()
        self._transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, (1.0, 1.0, 1.0)),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, number: int) -> Tensor:
        image: Tensor = self._transform(self._images[number])
        return image


def in_batches(images: Tensor) -> Callable[[], Iterable[Tensor]]:
    """An epoch of augmented batches: bytes until they are on the device."""
    mean = torch.tensor(MEAN)[:, None, None]
    batches = Batches((images,), BATCH, shuffle=True, seed=0, drop_last=True)

    def epoch() -> Iterable[Tensor]:
        for (batch,) in batches:
            yield augment(batch).float() / 255 - mean

    return epoch


def seconds(epoch: Callable[[], Iterable[Tensor]]) -> float:
    """How long an epoch takes after its first batch."""
    batches = iter(epoch())
    next(batches)
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args()
    images = torch.randint(256, (options.images, 3, 32, 32), dtype=torch.uint8)
    loader = DataLoader(
        Pictures(images),
        BATCH,
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        drop_last=True,
    )
    sides = {"batch": in_batches(images), "transforms": lambda: loader}
    counted = (options.images // BATCH - 1) * BATCH
    ratios = []
    for repeat in range(options.repeats):
        order = ("batch", "transforms")[:: -1 if repeat % 2 else 1]
        rates = {side: counted / seconds(sides[side]) for side in order}
        print(
            f"augmented in batch {rates['batch']:,.0f} images/s, "
            f"torchvision in 2 workers {rates['transforms']:,.0f} images/s"
        )
        ratios.append(rates["batch"] / rates["transforms"])
    print(
        f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}), "
        f"{torch.get_num_threads()} threads"
    )


if __name__ == "__main__":
    main()
