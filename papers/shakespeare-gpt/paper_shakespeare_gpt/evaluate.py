"""The loss on the validation part, and a sample of text."""

import torch
from research_models import Transformer, generate
from research_train import Evaluation, Run

from paper_shakespeare_gpt.config import Config
from paper_shakespeare_gpt.data import load_text, windows
from paper_shakespeare_gpt.model import new_model
from paper_shakespeare_gpt.train import measured


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate a trained GPT, and write a sample of it to `sample.txt` in the run's folder."""
    text = load_text(run.asset("tinyshakespeare") / "input.txt")
    _, unseen = windows(text.numbers, config.context)
    model = run.load_weights(new_model(config, len(text.characters)))
    metrics = measured(config, model, unseen)
    if config.sample:
        said = sample(model, text.characters, config)
        (run.folder / "sample.txt").write_text(said + "\n", encoding="utf-8")
    return Evaluation(metrics)


def sample(model: Transformer, characters: str, config: Config) -> str:
    """Text drawn from the GPT, each half context after the one before; the seed decides which."""
    generator = torch.Generator().manual_seed(config.seed)
    half = config.context // 2
    said = torch.tensor([[characters.index("\n")]])
    model.eval().cpu()
    while said.shape[1] <= config.sample:
        more = generate(model, said[:, -half:], half, temperature=1.0, generator=generator)
        said = torch.cat([said, more], dim=1)
    return "".join(characters[number] for number in said[0, 1 : config.sample + 1].tolist())


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
