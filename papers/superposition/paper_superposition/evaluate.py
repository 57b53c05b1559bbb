"""How trained models arrange their features, and the phase picture of two in one dimension."""

from research_train import Evaluation, Run
from research_viz import save_figure, sweep_heatmap

from paper_superposition.config import Config
from paper_superposition.geometry import measured
from paper_superposition.model import ToyModels, cells


def evaluate(config: Config, run: Run) -> Evaluation:
    """Evaluate toy models; of those with two features, draw which of them each represents."""
    models = run.load_weights(ToyModels(config))
    if config.features == 2:
        first, last = models.weight.detach().cpu().square().sum(2).unbind(1)
        differences = zip(cells(config), (last - first).tolist(), strict=True)
        figure = sweep_heatmap(dict(differences), "importance", "density", "last - first", digits=2)
        save_figure(figure, run.folder / "figures" / "phases")
    return Evaluation(measured(config, models))


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
