"""The ResNet with what it does to images beforehand (section 4.2)."""

import torch
from research_models import ResNet
from torch import Tensor, nn
from torch.nn.functional import pad


class Classifier(nn.Module):
    """Subtract the mean image, augment in training, classify.

    depth: of the ResNet, option A. mean: (3, 32, 32), of the training images, from 0 to 255.
    """

    def __init__(self, depth: int, mean: Tensor):
        super().__init__()
        self.resnet = ResNet.cifar(depth)
        self.mean = nn.Buffer(mean)

    def forward(self, images: Tensor) -> Tensor:
        """images: (batch, 3, 32, 32) uint8. Returns (batch, 10)."""
        x = (images - self.mean) / 255
        return self.resnet(augment(x) if self.training else x)


def augment(images: Tensor, padding: int = 4) -> Tensor:
    """Crop each image at random, padded with zeros, and mirror half of them, on their device.

    images: (batch, channels, height, width). Returns the same shape.
    """
    batch, _, height, width = images.shape

    def places(size: int) -> Tensor:
        first = torch.randint(2 * padding + 1, (batch, 1), device=images.device)
        return first + torch.arange(size, device=images.device)

    rows, columns = places(height), places(width)
    mirrored = torch.rand(batch, 1, device=images.device) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    each = torch.arange(batch, device=images.device)[:, None, None]
    padded = pad(images, (padding,) * 4).permute(0, 2, 3, 1)
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
