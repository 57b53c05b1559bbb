"""SQuAD: questions, and windows of a question and a part of its context, as tokens."""

from typing import TYPE_CHECKING, Any

import numpy as np
from research_data import AssetError, open_dataset, tokenize_dataset
from research_train import Run

from paper_bert_squad.config import Config

if TYPE_CHECKING:
    from datasets import Dataset

SQUAD, BERT = "rajpurkar/squad", "google-bert/bert-base-uncased"


def load_squad(config: Config, run: Run, split: str) -> tuple["Dataset", "Dataset"]:
    """Questions of a split, and their windows with `row`, `start` and `end`.

    row: of the question. start, end: first and last token of its first answer; 0, the token [CLS],
    in a window that doesn't hold all of it. Raises AssetError for an answer at a wrong place.
    """
    questions = open_dataset(run.asset(SQUAD))[split]
    windows = tokenize_dataset(
        *(SQUAD, BERT, ["question", "context"]),
        offline=True,
        padding="max_length",
        truncation="only_second",
        max_length=config.length,
        stride=config.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )[split]
    sample = windows.data.column("overflow_to_sample_mapping").to_numpy()
    row = np.cumsum(np.diff(sample, prepend=sample[0]) != 0)  # sample begins anew in each part
    count = min(config.questions or len(questions), len(questions))
    questions, windows = questions.select(range(count)), windows.select(range(sum(row < count)))
    row = row[: len(windows)]
    places = np.array([answer_place(each) for each in questions])[row]
    tokens = [
        answer_tokens(part["offset_mapping"], part["token_type_ids"], places[first : first + 1000])
        for part, first in zip(
            windows.with_format("numpy").iter(1000), range(0, len(row), 1000), strict=True
        )
    ]
    start, end = np.concatenate(tokens).T
    for name, column in {"row": row, "start": start, "end": end}.items():
        windows = windows.add_column(name, column)
    return questions, windows


def answer_place(question: dict[str, Any]) -> tuple[int, int]:
    """First character of the first answer and the one after its last; -1, -1 without an answer."""
    if not question["answers"]["text"]:
        return -1, -1
    text, begin = question["answers"]["text"][0], question["answers"]["answer_start"][0]
    if question["context"][begin : begin + len(text)] != text:
        raise AssetError(f"{SQUAD}: {question['id']}: {text!r} is not at {begin} of its context")
    return begin, begin + len(text)


def answer_tokens(offsets: np.ndarray, segments: np.ndarray, places: np.ndarray) -> np.ndarray:
    """First and last token of the answer in each window, (windows, 2).

    offsets: (windows, length, 2), characters. segments: (windows, length). places: (windows, 2).
    """
    context = (segments == 1) & (offsets[..., 0] < offsets[..., 1])
    first, last = context.argmax(1), context.shape[1] - 1 - context[:, ::-1].argmax(1)
    every = np.arange(len(offsets))
    (begin, end), length = places.T, context.shape[1]
    inside = (offsets[every, first, 0] <= begin) & (end <= offsets[every, last, 1])
    inside &= context.any(1) & (begin < end)
    start = (context & (offsets[..., 1] > begin[:, None])).argmax(1)
    stop = length - 1 - (context & (offsets[..., 0] < end[:, None]))[:, ::-1].argmax(1)
    return np.where(inside[:, None], np.stack([start, stop], 1), 0)
