"""Accuracies and progress of a trained network, and the frequencies of its embedding."""

from research_train import Evaluation, Run

from paper_grokking.config import Config
from paper_grokking.data import equations
from paper_grokking.model import OneLayerTransformer
from paper_grokking.progress import accuracies, frequencies, progress


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate a trained network; the table has its frequencies, strongest first."""
    model = run.load_weights(OneLayerTransformer(config.modulus))
    shares, order = frequencies(model.embedding.weight.detach()[:-1]).sort(descending=True)
    rows = zip((order + 1).tolist(), shares.tolist(), strict=True)
    table = [{"frequency": frequency, "share of the norm": share} for frequency, share in rows]
    return Evaluation({**accuracies(model, *equations(config)), **progress(run, model)}, table)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
