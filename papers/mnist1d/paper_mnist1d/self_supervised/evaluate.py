"""A linear probe of each layer, as in Figure 8b."""

from research_train import Evaluation, Run

from paper_mnist1d.data import load_mnist1d
from paper_mnist1d.self_supervised.config import Config
from paper_mnist1d.self_supervised.model import SimCLR
from paper_mnist1d.self_supervised.probe import probe


def evaluate(config: Config, run: Run) -> Evaluation:
    """Probe the layers of a trained network."""
    data = load_mnist1d(run.asset("mnist1d"))
    return Evaluation(probe(run.load_weights(SimCLR()), data))


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
