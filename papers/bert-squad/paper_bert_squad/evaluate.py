"""Exact match and F1 of a fine-tuned model."""

from research_models import parameter_count
from research_train import Evaluation, Run

from paper_bert_squad.answers import score_answers
from paper_bert_squad.config import Config
from paper_bert_squad.data import BERT
from paper_bert_squad.model import load_reader


def evaluate(config: Config, run: Run) -> Evaluation:
    """Answer the questions of the development set anew."""
    model = run.load_weights(load_reader(run.asset(BERT)))
    return Evaluation({**score_answers(model, config, run), "parameters": parameter_count(model)})
