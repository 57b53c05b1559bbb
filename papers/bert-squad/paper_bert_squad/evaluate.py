"""Exact match and F1 of a fine-tuned model."""

from research_train import Evaluation, Run

from paper_bert_squad.answers import BERT, scores
from paper_bert_squad.config import Config
from paper_bert_squad.model import Reader


def evaluate(config: Config, run: Run) -> Evaluation:
    """Answer the questions of the development set anew."""
    return Evaluation(scores(run.load_weights(Reader(run.asset(BERT))), config, run))


if __name__ == "__main__":
    from research_train import run_file

    run_file(__file__)
