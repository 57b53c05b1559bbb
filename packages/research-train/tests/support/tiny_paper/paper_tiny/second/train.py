from research_train import Metrics, Run

from paper_tiny.second.config import Config


def train(config: Config, run: Run) -> Metrics:
    run.log(1, {"answer": config.answer})
    return {"answer": float(config.answer)}
