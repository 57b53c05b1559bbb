from research_train import Evaluation, Run, classification_report

from paper_tiny.config import Config
from paper_tiny.train import load, make_model


def evaluate(config: Config, run: Run) -> Evaluation:
    model = run.load_weights(make_model())
    return classification_report(model, load(run), ["left", f"right of {config.label}"])
