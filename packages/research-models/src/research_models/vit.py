"""Vision Transformer: patches of an image as tokens, and a class token for the head."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from research_models.attention import Attention
from research_models.initialisation import glorot
from research_models.transformer import Stack, TransformerConfig, check_least

CUT_STD = 0.87962566  # standard deviation of a standard normal distribution cut at two of them


@dataclass(frozen=True)
class ViTConfig:
    """What a ViT is made of. The defaults are ViT-Base/16's (arXiv 2010.11929, Table 1)."""

    image_size: int = 224
    """Height and width of an image, in pixels."""
    patch_size: int = 16
    """Height and width of a patch; it divides image_size."""
    channels: int = 3
    classes: int = 1000
    width: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int | None = None
    """Hidden units of the feed-forward layers; None for 4 width."""
    activation: str = "gelu"
    norm_eps: float = 1e-6
    """The authors' code has 1e-6; transformers' default is 1e-12."""
    dropout: float = 0.0
    attention_dropout: float = 0.0

    def __post_init__(self) -> None:
        """Raise ValueError for values that no model has."""
        check_least(self, 1, "image_size", "patch_size", "channels", "classes")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"patch_size must divide image_size: {self.patch_size}, {self.image_size}"
            )
        self.stack()

    def stack(self) -> TransformerConfig:
        """The config of the layers: a pre-norm encoder over all patches and the class token."""
        return TransformerConfig(
            vocabulary=self.classes,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            length=(self.image_size // self.patch_size) ** 2 + 1,
            causal=False,
            hidden=self.hidden,
            activation=self.activation,
            norm_eps=self.norm_eps,
            dropout=self.dropout,
            attention_dropout=self.attention_dropout,
        )

    def filled(self) -> "ViTConfig":
        """The same config with the number that None stands for."""
        return replace(self, hidden=self.stack().filled().hidden)


class ViT(nn.Module):
    """Vision Transformer for classification (Dosovitskiy et al., arXiv 2010.11929, Figure 1).

    Equations 1 to 4: a linear layer on each patch, a learned class token before them, learned
    positions, a pre-norm encoder, LayerNorm, and a linear head on the class token.

    Parameters of ViT(ViTConfig()), ViT-Base/16 with 1,000 classes: 86,567,656. Initialisation:
    that of the authors' code (google-research/vision_transformer): linear layers as Glorot and
    Bengio, queries, keys and values each by itself; patches normal with standard deviation
    1 / sqrt(inputs of a patch), cut at two of them; positions normal with 0.02; class token and
    head 0. Departs from the paper in that the head has no hidden layer, as in its fine-tuning; from
    the code in that the biases of the feed-forward layers are 0, where it draws them of size 1e-6.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        of_stack = config.stack()
        self.patch_embedding = nn.Conv2d(
            config.channels, config.width, config.patch_size, stride=config.patch_size
        )
        self.class_token = nn.Parameter(torch.empty(1, 1, config.width))
        self.position_embedding = nn.Parameter(torch.empty(1, of_stack.length or 1, config.width))
        self.dropout = nn.Dropout(config.dropout)
        self.stack = Stack(of_stack)
        self.head = nn.Linear(config.width, config.classes)
        self.initialise()

    def initialise(self) -> None:
        """Draw the weights as the authors' code does."""
        glorot(self.stack)
        for module in self.stack.modules():
            if isinstance(module, Attention):
                for each in module.query_key_value.weight.detach().chunk(3):
                    nn.init.xavier_uniform_(each)
        patches = self.patch_embedding.weight
        std = patches[0].numel() ** -0.5 / CUT_STD
        nn.init.trunc_normal_(patches, 0.0, std, -2 * std, 2 * std)
        nn.init.normal_(self.position_embedding, 0.0, 0.02)
        for name in ("class_token", "patch_embedding.bias", "head.weight", "head.bias"):
            nn.init.zeros_(self.get_parameter(name))

    def forward(self, images: Tensor) -> Tensor:
        """images: (batch, channels, image_size, image_size). Returns logits, (batch, classes)."""
        return self.head(self.hidden(images)[:, 0])

    def hidden(self, images: Tensor) -> Tensor:
        """The encoder's output: (batch, 1 + patches, width), the class token first.

        Patches stand row by row. Raises ValueError when the images have another shape.
        """
        size = self.config.image_size
        if images.ndim != 4 or images.shape[1:] != (self.config.channels, size, size):
            raise ValueError(
                f"images must have the shape (batch, {self.config.channels}, {size}, {size}), got "
                f"{tuple(images.shape)}"
            )
        patches = self.patch_embedding(images).flatten(2).mT
        x = torch.cat([self.class_token.expand(len(images), -1, -1), patches], dim=1)
        return self.stack(self.dropout(x + self.position_embedding))
