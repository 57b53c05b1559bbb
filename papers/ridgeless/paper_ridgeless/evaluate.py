"""The risk that was found, beside what the paper proves of it."""

from statistics import fmean

from research_train import Evaluation, Run, read_metrics

from paper_ridgeless.config import Config


def limiting_risk(ratio: float, signal: float, noise: float) -> float:
    """The limit of the risk as features / samples tends to a ratio other than 1 (section 3)."""
    if ratio < 1:
        return noise * ratio / (1 - ratio)
    return signal * (1 - 1 / ratio) + noise / (ratio - 1)


def evaluate(config: Config, run: Run) -> Evaluation:
    """The mean of the risks in the run's metrics; there are no weights to load."""
    risks = [risk for point in read_metrics(run.folder) if (risk := point["risk"]) is not None]
    metrics = {"risk": fmean(risks)}
    if config.features != config.samples:  # where the limit is infinite
        ratio = config.features / config.samples
        metrics["risk/limit"] = limiting_risk(ratio, config.signal, config.noise)
    return Evaluation(metrics)


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
