"""Compare every architecture with its reference, and print the README's table of differences.

    uv run python packages/research-models/benchmarks/parity.py [--write]

--write puts the table between its markers in the README. Models are tiny and random with biases and
gains moved off their defaults, in float32; the difference is the largest absolute one of any
output. The parameters are those of the configuration in the first column. A new row is a function
that compares and a line in ROWS; import `transformers` or `torchvision` inside the function.

The references at the end are direct and slow: the tests use them as well.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from research_models import (
    MLP,
    ConvNet,
    RecurrentClassifier,
    RecurrentLanguageModel,
)
from torch import Tensor, nn

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- parity: written by parity.py -->", "<!-- /parity -->"
COLUMNS = ("model", "paper", "parameters", "reference", "largest difference found")


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    model: str
    """Class and configuration, as a reader would write it."""
    paper: str
    make: Callable[[], nn.Module]
    """Makes that configuration, on the meta device: only its parameters are counted."""
    reference: str
    compare: Callable[[], Iterable[tuple[Tensor, Tensor]]]
    """Gives pairs of the model's outputs and the reference's."""
    target: float = 1e-5
    """The largest difference that the tests accept."""

    def parameters(self) -> int:
        """How many numbers the configuration learns."""
        with torch.device("meta"):
            return sum(parameter.numel() for parameter in self.make().parameters())

    def difference(self) -> float:
        """The largest absolute difference of any output."""
        torch.manual_seed(0)
        return max((ours - theirs).abs().max().item() for ours, theirs in self.compare())


def mlp() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(MLP([40, 100, 100, 10], residual=True))
    first, second, last = model.layers
    x = torch.randn(64, 40)
    h = torch.relu(first(x))
    yield model(x), last(h + torch.relu(second(h)))


def convnet() -> Iterable[tuple[Tensor, Tensor]]:
    model = moved(ConvNet((1, 40), [25, 25, 25], [5, 3, 3], outputs=10))
    layers = [layer for each in model.convolutions for layer in (each, nn.ReLU())]
    x = torch.randn(64, 1, 40)
    yield model(x), nn.Sequential(*layers, nn.Flatten(), model.linear)(x)


def classifier() -> Iterable[tuple[Tensor, Tensor]]:
    for cell in ("gru", "lstm"):
        model = moved(RecurrentClassifier(3, 6, 10, cell, layers=2, bidirectional=True))
        reference = {"gru": nn.GRU, "lstm": nn.LSTM}[cell](
            3, 6, num_layers=2, batch_first=True, bidirectional=True
        )
        reference.load_state_dict(model.recurrent.state_dict())
        x, mask = torch.randn(5, 9, 3), torch.rand(5, 9) < 0.7
        mask[:, 4] = True
        for row, real, logits in zip(x, mask, model(x, mask), strict=True):
            last = reference(row[real])[1]  # of this sequence by itself, without padding
            last = last if cell == "gru" else last[0]
            yield logits, model.linear(last[-2:].flatten())


def language_model() -> Iterable[tuple[Tensor, Tensor]]:
    for cell, reference in (("gru", gru_by_steps), ("lstm", lstm_by_steps)):
        model = moved(RecurrentLanguageModel(11, 6, cell=cell, layers=2, tied=True))
        tokens = torch.randint(11, (5, 9))
        yield model(tokens), model.head(reference(model.recurrent, model.embedding(tokens)))


ROWS = [
    Row(
        "`MLP([40, 100, 100, 10], residual=True)`",
        "arXiv 2011.14439",
        lambda: MLP([40, 100, 100, 10], residual=True),
        "`torch.nn.Linear`, layer by layer",
        mlp,
    ),
    Row(
        "`ConvNet((1, 40), [25, 25, 25], [5, 3, 3], 10)`",
        "arXiv 2011.14439",
        lambda: ConvNet((1, 40), [25, 25, 25], [5, 3, 3], 10),
        "`torch.nn.Sequential` of the layers",
        convnet,
    ),
    Row(
        '`RecurrentClassifier(1, 6, 10, bidirectional=True, pooling="flatten", length=40)`',
        "arXiv 2011.14439",
        lambda: RecurrentClassifier(1, 6, 10, bidirectional=True, pooling="flatten", length=40),
        "`torch.nn.GRU` and `LSTM`, each sequence of a padded batch by itself",
        classifier,
    ),
    Row(
        "`RecurrentLanguageModel(10_000, 1500, layers=2)`",
        "arXiv 1409.2329",
        lambda: RecurrentLanguageModel(10_000, 1500, layers=2),
        "the equations of GRU and LSTM, step by step",
        language_model,
    ),
]


def moved(model: nn.Module) -> nn.Module:
    """The model in evaluation mode, each parameter a little off its initial value."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model.eval()


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in rows:
        difference = row.difference()
        shown = f"{difference:.0e}" if difference else "0"
        cells = (row.model, row.paper, f"{row.parameters():,}", row.reference, shown)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Print the table, and write it into the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="also write it into the README")
    options = parser.parse_args()
    text = table(ROWS)
    print(text)
    if options.write:
        page = README.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        after = rest.split(END)[1]
        README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


# The references


def gru_by_steps(recurrent: nn.GRU, x: Tensor) -> Tensor:
    """The equations of a GRU (cuDNN's form), layer by layer and step by step.

    x: (batch, length, inputs). Returns the last layer's outputs, (batch, length, hidden).
    """
    for w_x, w_h, b_x, b_h in recurrent.all_weights:
        h = x.new_zeros(len(x), recurrent.hidden_size)
        outputs = []
        for step in x.unbind(1):
            reset_x, update_x, new_x = (step @ w_x.T + b_x).chunk(3, -1)
            reset_h, update_h, new_h = (h @ w_h.T + b_h).chunk(3, -1)
            update = torch.sigmoid(update_x + update_h)
            new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
            h = (1 - update) * new + update * h
            outputs.append(h)
        x = torch.stack(outputs, 1)
    return x


def lstm_by_steps(recurrent: nn.LSTM, x: Tensor) -> Tensor:
    """The equations of an LSTM; as `gru_by_steps`."""
    for w_x, w_h, b_x, b_h in recurrent.all_weights:
        h = c = x.new_zeros(len(x), recurrent.hidden_size)
        outputs = []
        for step in x.unbind(1):
            enter, forget, new, leave = (step @ w_x.T + b_x + h @ w_h.T + b_h).chunk(4, -1)
            c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(new)
            h = torch.sigmoid(leave) * torch.tanh(c)
            outputs.append(h)
        x = torch.stack(outputs, 1)
    return x


if __name__ == "__main__":
    sys.exit(main())
