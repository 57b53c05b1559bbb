"""SimCLR's network and loss (section 5.5)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from paper_mnist1d.models import convolutional


class SimCLR(nn.Module):
    """Table 1's convolutions, and a projection head of two layers; 21,716 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = convolutional(outputs=125)  # its linear layer is the head's first
        self.projection = nn.Linear(125, 16)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 40). Returns (batch, 16)."""
        return self.projection(torch.relu(self.encoder(x)))

    def layers(self, x: Tensor) -> list[Tensor]:
        """x: (batch, 40). Returns layers 0 to 5 of Figure 8b, (batch, features) each.

        0 is x itself, 1 to 3 are the convolutions, 4 and 5 the projection head.
        """
        convolutions = [h.flatten(1) for h in self.encoder.features(x)]
        return [x, *convolutions, torch.relu(self.encoder(x)), self(x)]


def info_nce(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """The InfoNCE loss in nats: classify which b belongs to each a, by cosine similarity.

    a, b: (batch, features), two views of the same examples in the same order. Returns a scalar.
    """
    similarities = normalize(a) @ normalize(b).T / temperature
    return cross_entropy(similarities, torch.arange(len(a), device=a.device))
