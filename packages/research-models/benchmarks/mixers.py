"""Time and memory of each sequence mixer against attention, over lengths.

    uv run python packages/research-models/benchmarks/mixers.py [--repeats 7] [--device cuda]

Attention is torch's scaled_dot_product_attention between the same four linear layers. A round runs
forward and backward of every mixer at one length, in turn, each second round in the reverse order.
The table has the median over the rounds of the time's ratio to attention's in the same round, with
the lowest and the highest; and the memory that is kept for backward, counted once a storage.
"""

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import torch
from research_models import H3, BaseConv, LinearAttention, taylor_exp
from timing import interleaved, kept_bytes, spread
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class Attention(nn.Module):
    """Causal softmax attention, the yardstick."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, length, width). Returns the same shape."""
        qkv = self.query_key_value(x).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
        y = scaled_dot_product_attention(*qkv.unbind(2), is_causal=True)
        return self.output(y.transpose(1, 2).flatten(2))


def mixers(width: int, heads: int, length: int) -> dict[str, nn.Module]:
    """Every mixer by its name in the table; attention first."""
    makers: dict[str, Callable[[int, int], nn.Module]] = {
        "attention": Attention,
        "BaseConv, kernel 3": BaseConv,
        "BaseConv, kernel 8": partial(BaseConv, kernel_size=8),  # the last as a sum
        "BaseConv, kernel 9": partial(BaseConv, kernel_size=9),  # the first by FFT
        "BaseConv, kernel = length": partial(BaseConv, kernel_size=length),
        "BaseConv, implicit": partial(BaseConv, kernel_size=length, implicit=True),
        "H3, head width 1": lambda width, _: H3(width, heads=width),
        "LinearAttention, elu": LinearAttention,
        "LinearAttention, Taylor": partial(
            LinearAttention, feature_map=taylor_exp, head_width=16, bias=False
        ),
    }
    return {name: make(width, heads) for name, make in makers.items()}


def train(mixer: nn.Module, x: Tensor) -> None:
    """One forward and backward pass."""
    mixer(x).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds; every second one reversed")
    parser.add_argument("--passes", type=int, default=10, help="passes of a mixer in a round")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 128, 256, 512, 1024])
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(
        f"batch {options.batch}, width {options.width}, heads {options.heads}, float32, "
        f"{options.device}, {options.threads} threads, {options.repeats} rounds"
    )
    print("| length | mixer | ms | of attention's time | kept for backward, MB | of attention's |")
    print("|---|---|---|---|---|---|")
    for length in options.lengths:
        models = mixers(options.width, options.heads, length)
        models = {name: model.to(options.device) for name, model in models.items()}
        x = torch.randn(options.batch, length, options.width, device=options.device)
        kept = {name: kept_bytes(model, x) for name, model in models.items()}
        programs = {name: partial(train, model, x) for name, model in models.items()}
        times = interleaved(options.repeats, programs, options.passes)
        for name, of_rounds in times.items():
            print(
                f"| {length} | {name} | {1e3 * statistics.median(of_rounds):.3g} "
                f"| {spread(of_rounds, times['attention'])} "
                f"| {kept[name] / 1e6:.3g} | {kept[name] / kept['attention']:.2f} |"
            )


if __name__ == "__main__":
    main()
