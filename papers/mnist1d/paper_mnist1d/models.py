"""The four models of Table 1, with their parameter counts."""

from collections.abc import Callable

from research_models import MLP, ConvNet
from torch import Tensor, nn


class GRU(nn.Module):
    """Bidirectional GRU with 6 hidden units; all its 40 outputs feed one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(input_size=1, hidden_size=6, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(40 * 2 * 6, 10)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, 40). Returns (batch, 10)."""
        outputs, _ = self.gru(x.unsqueeze(-1))
        return self.linear(outputs.flatten(1))


def convolutional(outputs: int) -> ConvNet:
    """Three convolutions of 25 channels and a linear layer, of Table 1 and section 5.5."""
    return ConvNet(
        input_shape=(1, 40),
        channels=[25, 25, 25],
        kernel_sizes=[5, 3, 3],
        outputs=outputs,
        stride=2,
        padding=1,
    )


MODELS: dict[str, Callable[[], nn.Module]] = {
    "logistic": lambda: MLP([40, 10]),  # 410
    "mlp": lambda: MLP([40, 100, 100, 10], residual=True),  # 15,210
    "cnn": lambda: convolutional(outputs=10),  # 5,210
    "gru": GRU,  # 5,134
}
