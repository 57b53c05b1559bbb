"""Time and memory of the Transformer against transformers' models, training and generating.

    uv run python packages/research-models/benchmarks/transformer.py [--repeats 7] [--threads 1 2]

GPT-2, BERT and Llama with random weights, the same in both, transformers with its
scaled_dot_product_attention. A round runs both sides once, each second round in the reverse order;
the table has the median over the rounds of ours over theirs in the same round, with the lowest and
the highest. Trained: forward and backward of the cross entropy. Kept: bytes that a forward pass
keeps for backward, counted once a storage. Generated: greedy, with a cache, tokens a second; both
must give the same tokens. The file isn't named `transformers`: that would hide the package.
"""

import argparse
import statistics

import torch
from published import ours, reference
from research_models import generate
from timing import interleaved, kept_bytes, spread
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


def sizes(family: str, options: argparse.Namespace) -> dict[str, int]:
    """The arguments of transformers' config for one size of every family."""
    length = options.length + options.new_tokens
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    if family == "gpt2":
        names = ("vocab_size", "n_embd", "n_layer", "n_head")
    values = (options.vocabulary, options.width, options.layers, options.heads)
    made = dict(zip(names, values, strict=True))
    if family == "gpt2":
        return {**made, "n_positions": length}
    made |= {"max_position_embeddings": length, "intermediate_size": 4 * options.width}
    if family == "llama":  # two thirds of the hidden units, as they are gated
        made |= {"intermediate_size": 8 * options.width // 3, "num_key_value_heads": options.heads}
    return made


def train(model: nn.Module, tokens: Tensor, targets: Tensor) -> None:
    logits = logits_of(model, tokens)
    cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    model.zero_grad()


def logits_of(model: nn.Module, tokens: Tensor) -> Tensor:
    made = model(tokens)
    return made if isinstance(made, Tensor) else made.logits


def measure_training(family: str, threads: int, options: argparse.Namespace) -> None:
    theirs = reference(family, **sizes(family, options)).to(options.device)
    mine = ours(theirs).to(options.device)
    shape = (options.batch, options.length)
    tokens, targets = torch.randint(1, options.vocabulary, (2, *shape), device=options.device)
    times = interleaved(
        options.repeats,
        {
            "ours": lambda: train(mine, tokens, targets),
            "theirs": lambda: train(theirs, tokens, targets),
        },
    )
    kept = [kept_bytes(model, tokens) for model in (mine, theirs)]
    print(
        f"| {family} | {threads} | {1e3 * statistics.median(times['ours']):.3g} "
        f"| {spread(times['ours'], times['theirs'], 3)} "
        f"| {kept[0] / 1e6:.3g} | {kept[0] / kept[1]:.3f} |"
    )


def measure_generation(family: str, batch: int, threads: int, options: argparse.Namespace) -> None:
    theirs = reference(family, **sizes(family, options)).to(options.device)
    mine = ours(theirs).to(options.device)
    shape = (batch, options.length)
    tokens = torch.randint(1, options.vocabulary, shape, device=options.device)
    new = options.new_tokens
    mask = torch.ones_like(tokens)
    made = {}

    def run_ours() -> None:
        made["ours"] = generate(mine, tokens, new)

    def run_theirs() -> None:
        made["theirs"] = theirs.generate(
            tokens, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0
        )[:, options.length :]

    times = interleaved(options.repeats, {"ours": run_ours, "theirs": run_theirs})
    if not torch.equal(made["ours"], made["theirs"]):
        raise RuntimeError(f"{family}: the tokens differ")
    rate = batch * new / statistics.median(times["ours"])
    faster = spread(times["theirs"], times["ours"], 3)
    print(f"| {family} | {batch} | {threads} | {rate:.4g} | {faster} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds; every second one reversed")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--length", type=int, default=128, help="tokens of an example or a prompt")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--vocabulary", type=int, default=1000)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    print(
        f"{options.layers} layers, width {options.width}, {options.heads} heads, "
        f"{options.length} tokens, batch {options.batch}, float32, {options.device}, "
        f"{options.repeats} rounds"
    )
    print("| trained | threads | ms | of transformers' time | kept, MB | of transformers' |")
    print("|---|---|---|---|---|---|")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for family in ("gpt2", "bert", "llama"):
            measure_training(family, threads, options)
    print("\n| generated | batch | threads | tokens a second | of transformers' rate |")
    print("|---|---|---|---|---|")
    for threads in options.threads:
        torch.set_num_threads(threads)
        for family in ("gpt2", "llama"):
            for batch in (1, options.batch):
                measure_generation(family, batch, threads, options)


if __name__ == "__main__":
    main()
