"""The best answers of a model, over all windows of a question's context, and their scores."""

import json
import math

import torch
from research_data import Batches, tokenize_questions
from research_train import Metrics, Run, answer_scores
from torch import Tensor

from paper_bert_squad.config import Config
from paper_bert_squad.model import Reader

SQUAD, BERT = "rajpurkar/squad", "google-bert/bert-base-uncased"
INPUTS = "input_ids", "token_type_ids", "attention_mask"


def scores(model: Reader, config: Config, run: Run) -> Metrics:
    """Exact match and F1; writes predictions.json and n_best.json into the run's folder."""
    questions, windows = tokenize_questions(
        SQUAD, BERT, "validation", config.length, config.stride, first=config.questions
    )
    found: list[dict[str, float]] = [{"": math.inf} for _ in questions]  # text -> score
    batches = Batches.from_arrow(windows, (*INPUTS, "offset_mapping", "row"), 32).to(run.device)
    model.eval()
    for *inputs, offsets, rows in batches:
        with torch.no_grad():
            logits = model(*inputs).float().cpu()
        contexts = ((inputs[1] == 1) & (offsets[..., 0] < offsets[..., 1])).cpu()
        each = zip(rows.tolist(), offsets.tolist(), logits, contexts, strict=True)
        for row, characters, starts_and_ends, context in each:
            answers, text = found[row], questions[row]["context"]
            answers[""] = min(answers[""], float(starts_and_ends[0].sum()))  # [CLS]: none here
            for score, first, last in best_spans(starts_and_ends, context, config):
                answer = text[characters[first][0] : characters[last][1]]
                answers[answer] = max(answers.get(answer, -math.inf), score)
    ranked = [sorted(each.items(), key=lambda answer: -answer[1]) for each in found]
    n_best = dict(zip(questions["id"], ranked, strict=True))
    # Every question of SQuAD 1.1 has an answer: none is given only where there is no context.
    predictions = {key: next((text for text, _ in n_best[key] if text), "") for key in n_best}
    (run.folder / "predictions.json").write_text(json.dumps(predictions, indent=1))
    best = {key: answers[: config.n_best] for key, answers in n_best.items()}
    (run.folder / "n_best.json").write_text(json.dumps(best, indent=1))
    references = {each["id"]: each["answers"]["text"] for each in questions}
    return answer_scores(predictions, references, "validation")


def best_spans(scores: Tensor, context: Tensor, config: Config) -> list[tuple[float, int, int]]:
    """Score, first and last token of the n_best spans of a context. scores: (length, 2)."""
    start, end = scores.masked_fill(~context[:, None], -math.inf).T
    allowed = torch.ones(len(start), len(start)).triu().tril(config.longest_answer - 1)
    sums = (start[:, None] + end).masked_fill(allowed == 0, -math.inf).flatten()
    best = zip(*sums.topk(min(config.n_best, len(sums))), strict=True)
    return [(float(s), *divmod(int(at), len(start))) for s, at in best if s > -math.inf]
