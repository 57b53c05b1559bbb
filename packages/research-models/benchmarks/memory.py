"""What fits on a 16 GB card: memory of a training step by model, batch and precision.

    uv run python packages/research-models/benchmarks/memory.py [--write]

--write puts the table between its markers in the README. Models have their full size, but torch's
fake tensors have shapes only, so nothing is computed and no memory is taken. A step's memory is

    16 bytes a parameter                    weights, gradients, two moments of Adam, all float32
    what autograd keeps for backward        found by its hooks: a constant and a part per example
    8 bytes a logit                         gradients of the logits and of their log-softmax

`tests/test_memory.py` holds this sum against the tensors that are alive in a real step on the CPU.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from research_models import ResNet, Transformer, TransformerConfig, ViT, ViTConfig, parameter_count
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN, END = "<!-- memory: written by memory.py -->", "<!-- /memory -->"
COLUMNS = (
    *("model", "input", "weights, gradients, Adam", "an example: float32, bfloat16"),
    "largest batch: float32, bfloat16",
)
CARD = 16e9  # bytes
RESERVE = 1.5e9  # CUDA's own, workspaces, gaps between blocks: not measured


@dataclass(frozen=True)
class Row:
    """A row of the table. example: the input of one example, a batch of 1."""

    model: str
    input: str
    make: Callable[[], nn.Module]
    example: Callable[[], Tensor]


@dataclass(frozen=True)
class Memory:
    """Bytes of a step: once, and for each example of the batch."""

    once: float
    example: float

    def batch(self, card: float = CARD) -> int:
        """The largest batch that fits on a card beside the reserve; 0 where not even one does."""
        return max(0, int((card - RESERVE - self.once) // self.example))


def gpt2(width: int, layers: int, heads: int) -> Callable[[], nn.Module]:
    """A decoder of GPT-2's family."""
    config = TransformerConfig(50257, width=width, layers=layers, heads=heads, length=1024)
    return lambda: Transformer(config)


def image() -> Tensor:
    """One image of ImageNet's usual size."""
    return torch.empty(1, 3, 224, 224)


def tokens(length: int) -> Callable[[], Tensor]:
    """One sequence of so many tokens."""
    return lambda: torch.zeros(1, length, dtype=torch.long)


ROWS = [
    Row("`ResNet.imagenet(50)`", "224 x 224", lambda: ResNet.imagenet(50), image),
    Row("`ViT(ViTConfig())`, ViT-B/16's", "224 x 224", lambda: ViT(ViTConfig()), image),
    Row(
        "`Transformer`, BERT-base's",
        "384 tokens",
        lambda: Transformer(
            TransformerConfig(
                30522, width=768, layers=12, heads=12, length=512, causal=False, activation="gelu"
            )
        ),
        tokens(384),
    ),
    Row("`Transformer`, GPT-2's smallest", "1,024 tokens", gpt2(768, 12, 12), tokens(1024)),
    Row("`Transformer`, GPT-2 medium's", "1,024 tokens", gpt2(1024, 24, 16), tokens(1024)),
    Row("`Transformer`, GPT-2 large's", "1,024 tokens", gpt2(1280, 36, 20), tokens(1024)),
]


def step_memory(row: Row, precision: torch.dtype) -> Memory:
    """The memory of a training step; precision: float32, or that of autocast."""
    with FakeTensorMode():
        model, example = row.make(), row.example()
        one, logits = kept_for_backward(model, example, precision)
        two, _ = kept_for_backward(model, torch.cat([example, example]), precision)
        return Memory(
            once=16 * parameter_count(model) + 2 * one - two, example=two - one + 8 * logits
        )


def kept_for_backward(model: nn.Module, batch: Tensor, precision: torch.dtype) -> tuple[int, int]:
    """The bytes that autograd keeps beside the model's own, and the number of logits."""
    own = {each.untyped_storage()._cdata for each in (*model.parameters(), *model.buffers())}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    autocast = precision != torch.float32
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", precision) if autocast else nullcontext(),
    ):
        result = logits_and_loss(model, batch)
    return sum(storage.nbytes() for storage in kept.values()), result[0].numel()


def logits_and_loss(model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of classes, or of tokens by those before them."""
    logits = model(batch)
    if batch.dtype == torch.long:
        return logits, nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch.flatten())
    targets = torch.zeros(len(batch), dtype=torch.long)
    return logits, nn.functional.cross_entropy(logits.float(), targets)


def cells(row: Row) -> list[str]:
    """What the table shows of a row."""
    with FakeTensorMode():
        states = 16 * parameter_count(row.make())
    both = [step_memory(row, precision) for precision in (torch.float32, torch.bfloat16)]
    return [
        row.model,
        row.input,
        f"{states / 1e9:.1f} GB",
        ", ".join(f"{each.example / 1e6:,.0f} MB" for each in both),
        ", ".join(f"{each.batch():,}" if each.batch() else "none" for each in both),
    ]


def table() -> str:
    """The table in Markdown."""
    rows = [list(COLUMNS), ["---"] * len(COLUMNS), *map(cells, ROWS)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> int:
    """Print the table, and write it into the README where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="also write it into the README")
    write = parser.parse_args().write
    text = table()
    print(text)
    if write:
        page = README.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
