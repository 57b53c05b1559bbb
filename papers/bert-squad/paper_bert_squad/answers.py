"""The best answers of a trained model, over all windows of a question's context."""

import json
import math

import torch
from research_data import Batches
from research_train import Metrics, Run
from torch import Tensor

from paper_bert_squad.config import Config
from paper_bert_squad.data import load_squad
from paper_bert_squad.model import Reader
from paper_bert_squad.scores import exact_match, f1, percent

COLUMNS = "input_ids", "token_type_ids", "attention_mask", "offset_mapping", "row"


def score_answers(model: Reader, config: Config, run: Run) -> Metrics:
    """Exact match and F1 in percent; writes predictions.json and n_best.json into run's folder."""
    questions, windows = load_squad(config, run, "validation")
    found: list[dict[str, float]] = [{"": math.inf} for _ in questions]  # text -> score
    model.eval()
    for *inputs, offsets, rows in Batches.from_arrow(windows, COLUMNS, 32).to(run.device):
        with torch.no_grad():
            scores = model(*inputs).float().cpu()
        context = ((inputs[1] == 1) & (offsets[..., 0] < offsets[..., 1])).cpu()
        for each, inside, characters, row in zip(
            scores, context, offsets.tolist(), rows.tolist(), strict=True
        ):
            answers, text = found[row], questions[row]["context"]
            answers[""] = min(answers[""], float(each[0].sum()))  # [CLS]: no answer here
            for score, first, last in best_spans(each, inside, config):
                answer = text[characters[first][0] : characters[last][1]]
                answers[answer] = max(answers.get(answer, -math.inf), score)
    ranked = {
        key: sorted(answers.items(), key=lambda each: -each[1])
        for key, answers in zip(questions["id"], found, strict=True)
    }
    # Every question of SQuAD 1.1 has an answer: "" is given only where there is no context.
    given = {key: next((t for t, _ in best if t), "") for key, best in ranked.items()}
    n_best = {key: best[: config.n_best] for key, best in ranked.items()}
    for name, content in {"predictions": given, "n_best": n_best}.items():
        (run.folder / f"{name}.json").write_text(json.dumps(content, indent=1), "utf-8")
    truth = {each["id"]: each["answers"]["text"] for each in questions}
    scores = {"exact_match": exact_match, "f1": f1}
    return {f"validation/{name}": percent(score, given, truth) for name, score in scores.items()}


def best_spans(scores: Tensor, context: Tensor, config: Config) -> list[tuple[float, int, int]]:
    """Score, first and last token of the n_best spans of context with the highest scores.

    scores: (length, 2), as start and as end. context: (length,) bool.
    """
    start, end = scores.masked_fill(~context[:, None], -math.inf).T
    allowed = torch.ones(len(start), len(start), dtype=torch.bool)
    allowed = allowed.triu().tril(config.longest_answer - 1)
    sums = (start[:, None] + end).masked_fill(~allowed, -math.inf).flatten()
    best = zip(*sums.topk(min(config.n_best, len(sums))), strict=True)
    return [(float(s), *divmod(int(at), len(start))) for s, at in best if s > -math.inf]
