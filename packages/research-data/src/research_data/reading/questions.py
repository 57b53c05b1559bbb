"""Questions with answers that are spans of a context, such as SQuAD's, as windows of tokens."""

from typing import TYPE_CHECKING, Any

import numpy as np
from pyarrow.compute import list_value_length

from research_data.errors import AssetError, UsageError
from research_data.reading.load import download_dataset, tokenize_dataset

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = {"id", "question", "context", "answers"}


def tokenize_questions(
    dataset: str,
    tokenizer: str,
    split: str,
    length: int,
    stride: int,
    *,
    config: str | None = None,
    first: int | None = None,
    offline: bool = False,
) -> tuple["Dataset", "Dataset"]:
    """Questions of a split, and windows of a question and a part of its context, as tokens.

        questions, windows = tokenize_questions("squad", "bert-base-uncased", "train", 384, 128)

    dataset, tokenizer: `NAME[@REVISION]` of a dataset with SQuAD's columns (arXiv 1606.05250) and
    of a model. length: tokens of a window, padded. stride: tokens that neighbouring windows of a
    context share. first: only the first so many questions; None for all. The tokens are kept in
    assets, those of all splits.

    A window is a row of `windows`: input_ids, token_type_ids (1 in the context), attention_mask,
    offset_mapping, (length, 2), the characters of each token in the context; row, of its question;
    start and end, the first and last token of the question's first answer, found by its place.
    They are 0, the token [CLS], where the window doesn't hold all of the answer.

    Raises UsageError when a question leaves no room for its context, or a column is missing;
    AssetError for an answer that isn't at its place, or when there is no tokenizer.
    """
    no_room = UsageError(
        f"{dataset}: windows of {length} tokens that share {stride} leave a question no room for "
        "its context: make them longer, or let them share less"
    )
    try:
        windows = tokenize_dataset(
            *(dataset, tokenizer, ["question", "context"]),
            config=config,
            offline=offline,
            padding="max_length",
            truncation="only_second",
            max_length=length,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
    except BaseException as error:  # tokenizers also panics, which is no Exception
        if "Truncation error" in str(error) or type(error).__name__ == "PanicException":
            raise no_room from None
        raise
    questions = download_dataset(dataset, config, split=split, offline=offline)
    if missing := COLUMNS - set(questions.column_names):
        raise UsageError(f"{dataset} has no column {', '.join(sorted(missing))}, as SQuAD has")
    windows = windows[split]
    if list_value_length(windows.data.column("input_ids")).unique().to_pylist() != [length]:
        raise no_room
    sample = windows.data.column("overflow_to_sample_mapping").to_numpy()
    row = np.cumsum(np.diff(sample, prepend=sample[:1]) != 0)  # sample begins anew in each part
    if first is not None and first < len(questions):
        questions, windows = (
            questions.select(range(first)),
            windows.select(range(int((row < first).sum()))),
        )
    row = row[: len(windows)]
    places = np.array([answer_place(each, dataset) for each in questions])[row]
    tokens, done = [], 0
    # Views of Arrow's memory: decoded as lists, the offsets would take fifty times as long.
    for part in windows.data.to_batches():
        offsets = part.column("offset_mapping").flatten().flatten().to_numpy(zero_copy_only=False)
        segments = part.column("token_type_ids").flatten().to_numpy(zero_copy_only=False)
        shape = part.num_rows, length
        of_part = places[done : done + part.num_rows]
        tokens.append(answer_tokens(offsets.reshape(*shape, 2), segments.reshape(shape), of_part))
        done += part.num_rows
    start, end = np.concatenate(tokens).T
    for name, column in {"row": row, "start": start, "end": end}.items():
        windows = windows.add_column(name, column)
    return questions, windows


def answer_place(question: dict[str, Any], dataset: str) -> tuple[int, int]:
    """First character of the first answer and the one after its last; -1, -1 without an answer.

    Raises AssetError for another text at that place.
    """
    answers, context = question["answers"], question["context"]
    if not answers["text"]:
        return -1, -1
    text, begin = answers["text"][0], answers["answer_start"][0]
    if begin < 0 or context[begin : begin + len(text)] != text:
        raise AssetError(
            f"{dataset}: question {question['id']}: its answer {text!r} is not at character "
            f"{begin} of its context"
        )
    return begin, begin + len(text)


def answer_tokens(offsets: np.ndarray, segments: np.ndarray, places: np.ndarray) -> np.ndarray:
    """First and last token of the answer in each window, (windows, 2); 0 where it isn't whole.

    offsets: (windows, length, 2). segments: (windows, length). places: (windows, 2), characters,
    from answer_place.
    """
    begins, ends = offsets[..., 0], offsets[..., 1]
    context = (segments == 1) & (begins < ends)
    begin, end = places.T[:, :, None]
    held = np.where(context, begins, end).min(1) <= begin[:, 0]
    held &= np.where(context, ends, begin).max(1) >= end[:, 0]
    held &= (begin < end)[:, 0]
    start = (context & (ends > begin)).argmax(1)
    last = begins.shape[1] - 1 - (context & (begins < end))[:, ::-1].argmax(1)
    return np.where(held[:, None], np.stack([start, last], 1), 0)
