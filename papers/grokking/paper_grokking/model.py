"""The Transformer of one layer, without norms (2301.05217, section 3)."""

from research_models import CrossAttention, FeedForward
from torch import Tensor, nn

WIDTH = 128


class OneLayerTransformer(nn.Module):
    """Attention, a ReLU feed-forward layer, each with a residual; read at the last token.

    modulus: p; `=` is one more token, and one more answer.

    Parameters: 222,720 for p = 97. Initialisation: normal, of variance 1 / width; biases 0.
    """

    def __init__(self, modulus: int):
        super().__init__()
        self.embedding = nn.Embedding(modulus + 1, WIDTH)
        self.position_embedding = nn.Embedding(3, WIDTH)
        self.attention = CrossAttention(WIDTH, heads=4, bias=False)
        self.feed_forward = FeedForward(WIDTH, activation="relu")
        self.head = nn.Linear(WIDTH, modulus + 1, bias=False)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=WIDTH**-0.5 if parameter.ndim == 2 else 0.0)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (batch, 3). Returns logits of the answer, (batch, modulus + 1)."""
        x = self.embedding(tokens) + self.position_embedding.weight
        last = x[:, -1:]  # the other tokens' own queries would be read by nobody
        last = last + self.attention(last, x)
        return self.head(last + self.feed_forward(last)).squeeze(1)
