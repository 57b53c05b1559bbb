"""What the Trainer costs a small GPT: 2 layers of 128, 32 tokens, batches of 32, one thread.

    uv run python packages/research-train/benchmarks/gpt.py [--repeats 4] [--steps 1000]

As bare_loop.py: in turn in one process, everything on, weights equal to the bit. Whichever of a
pair goes second is some per cent slower here, as much as there is to measure: so the ratio is the
geometric mean of two medians, of the pairs in which the Trainer went first and of the others.
"""

import argparse
import os
import statistics
import tempfile
import time

import torch
from research_data import Batches
from research_train import (
    Trainer,
    find_member,
    installed_members,
    load_config,
    prepare_assets,
    start_run,
)
from research_train.state.random_state import seed_everything
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

VOCABULARY, LENGTH, WIDTH = 256, 32, 128


class GPT(nn.Module):
    """A decoder of two pre-norm layers."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(torch.zeros(LENGTH, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, VOCABULARY)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (batch, LENGTH). Returns (batch, LENGTH, VOCABULARY)."""
        hidden = self.tokens(tokens) + self.positions
        return self.head(self.layers(hidden, mask=self.mask, is_causal=True))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    tokens, targets = batch
    return cross_entropy(model(tokens).flatten(0, 1), targets.flatten())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=4, help="an even number")
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = torch.randint(VOCABULARY, (3200, LENGTH + 1))
    data = text[:, :-1].contiguous(), text[:, 1:].contiguous()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RESEARCH_ASSETS"] = folder
        experiment = find_member("mnist1d", installed_members()).experiment()  # any will do
        words = ["batch_size=32", "checkpoint_every=100", f"steps={options.steps}"]
        config = load_config(experiment, words)
        assets = prepare_assets(experiment.member)
        ratios = []
        for repeat in range(options.repeats + 1):
            pair = {}
            run = start_run(experiment, config, assets)
            for side in ("ours", "bare")[:: -1 if repeat % 2 else 1]:
                seed_everything(0)
                model = GPT()
                optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
                began = time.perf_counter()
                if side == "ours":
                    with run.attempt():
                        Trainer(run, model, optimizer, loss).fit(Batches(data, 32))
                else:
                    for step in range(options.steps):
                        rows = slice(step % 100 * 32, step % 100 * 32 + 32)
                        loss(model, (data[0][rows], data[1][rows])).backward()
                        optimizer.step()
                        optimizer.zero_grad()
                pair[side] = time.perf_counter() - began, model
            for a, b in zip(*(model.parameters() for _, model in pair.values()), strict=True):
                assert torch.equal(a, b)
            ratio = pair["ours"][0] / pair["bare"][0]
            label = f"repeat {repeat}" if repeat else "warm-up "
            print(f"{label}: Trainer {pair['ours'][0]:.2f} s, ratio {ratio:.3f}")
            if repeat:
                ratios.append(ratio)
    second, first = (statistics.median(ratios[start::2]) for start in (0, 1))
    print(
        f"GPT 2x128, {options.steps} steps, one thread: ratio {(first * second) ** 0.5:.3f}; "
        f"{first:.3f} where the Trainer goes first, {second:.3f} where second "
        f"(min {min(ratios):.3f}, max {max(ratios):.3f})"
    )


if __name__ == "__main__":
    main()
