"""Compare a compiled step with a bare eager loop, with and without fused updates.

    python compiled.py [WORK ...] [--repeats 7] [--steps N]

For each work: the same step as a bare loop, with a fused optimizer, and as `compile=step` does it,
in turn and in both orders, on one thread; ResNet-20 is in channels_last but for the bare loop.
Prints processor time of the bare step, and the medians of the ratios to it, with the smallest and
the largest. The first 20 losses of the compiled step are compared with the bare ones.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from gpt import GPT, LENGTH, VOCABULARY
from research_data.shown import print_line
from research_models import ResNet
from research_train.loop.compiled_step import CompiledStep
from research_train.loop.compiler import prepare_compiler
from research_train.loop.metrics import classification_loss
from torch import Tensor, nn

SAME = 20  # first losses that are compared


class Toy(nn.Module):
    """The toy model of superposition: 20 features through 5 units and back."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 20) * 0.2)
        self.bias = nn.Parameter(torch.zeros(20))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 20) -> (batch, 20)."""
        return torch.relu(x @ self.weight.T @ self.weight + self.bias)


@dataclass(frozen=True)
class Work:
    """A model, its loss, a batch, and how many steps are timed at once."""

    model: Callable[[], nn.Module]
    loss: Callable[[nn.Module, tuple[Tensor, Tensor]], Tensor]
    batch: Callable[[], tuple[Tensor, Tensor]]
    steps: int
    channels_last: bool = False  # but for the bare loop


def _classes(*shape: int, classes: int = 10) -> tuple[Tensor, Tensor]:
    return torch.randn(*shape), torch.randint(classes, (shape[0],))


def _squared(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (model(batch[0]) - batch[1]).square().mean()


def _mlp() -> nn.Module:
    layers = [nn.Linear(40, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)]
    return nn.Sequential(*layers)


def _cnn() -> nn.Module:
    """MNIST-1D's: three convolutions of 25 channels, 5,210 parameters."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 40))]
    for channels, kernel in ((1, 5), (25, 3), (25, 3)):
        layers += [nn.Conv1d(channels, 25, kernel, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(125, 10))


def _tokens() -> Tensor:
    return torch.randint(VOCABULARY, (32, LENGTH))


WORKS = {
    "mlp": Work(
        _mlp,
        classification_loss,
        lambda: _classes(100, 40),
        300,
    ),
    "cnn": Work(
        _cnn,
        classification_loss,
        lambda: _classes(100, 40),
        100,
    ),
    "toy": Work(Toy, _squared, lambda: (torch.rand(1024, 20),) * 2, 300),
    "resnet": Work(
        lambda: ResNet.cifar(20),
        classification_loss,
        lambda: _classes(128, 3, 32, 32),
        2,
        channels_last=True,
    ),
    "gpt": Work(GPT, classification_loss, lambda: (_tokens(), _tokens()), 10),
}


def measure(work: Work, repeats: int, steps: int) -> str:
    """The row of one work."""
    torch.manual_seed(0)
    batch = work.batch()
    ways = {}
    for way in ("bare", "fused", "compiled"):
        torch.manual_seed(1)
        model, given = work.model(), batch
        if work.channels_last and way != "bare":
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            given = batch[0].contiguous(memory_format=torch.channels_last), batch[1]
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=way == "fused")
        if way == "compiled":
            options = prepare_compiler(torch.device("cpu"), "step")
            step = CompiledStep(model, optimizer, work.loss, None, None, None, options)
            ways[way] = lambda step=step, given=given: step(given, True)
        else:
            ways[way] = lambda m=model, o=optimizer, g=given: _bare(m, o, work.loss, g)
    began = time.perf_counter()
    first = ways["compiled"]().item()
    compiling = time.perf_counter() - began
    losses = [first, *(ways["compiled"]().item() for _ in range(SAME - 1))]
    wanted = [ways["bare"]().item() for _ in range(SAME)]
    apart = max(abs(a - b) / abs(b) for a, b in zip(losses, wanted, strict=True))
    rounds = []
    for number in range(repeats):
        order = list(ways) if number % 2 else list(reversed(ways))
        rounds.append({way: _seconds(ways[way], steps) for way in order})
    bare = statistics.median(each["bare"] for each in rounds) * 1e3
    shown = [_ratio([each[way] / each["bare"] for each in rounds]) for way in ("fused", "compiled")]
    return f"{bare:.3g} | {' | '.join(shown)} | {compiling:.1f} | {apart:.0e}"


def _bare(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[nn.Module, tuple[Tensor, Tensor]], Tensor],
    batch: tuple[Tensor, Tensor],
) -> Tensor:
    found = loss(model, batch)
    found.backward()
    optimizer.step()
    optimizer.zero_grad()
    return found.detach()


def _seconds(step: Callable[[], Tensor], steps: int) -> float:
    began = time.process_time()
    for _ in range(steps):
        step()
    return (time.process_time() - began) / steps


def _ratio(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Print one row for each work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("works", nargs="*", default=list(WORKS), choices=[*WORKS, list(WORKS)])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, help="steps timed at once; each work has its own")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("RESEARCH_ASSETS", folder)
        print_line("| work | bare, ms | fused | compiled | compiling, s | first losses apart |")
        print_line("|---|---|---|---|---|---|")
        for name in options.works:
            work = WORKS[name]
            print_line(
                f"| {name} | {measure(work, options.repeats, options.steps or work.steps)} |"
            )


if __name__ == "__main__":
    main()
