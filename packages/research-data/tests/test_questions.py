"""Windows of questions and contexts, and the tokens of answers in them."""

import io
import json

import numpy as np
import pytest
from research_data import AssetError, UsageError, tokenize_questions
from safetensors.numpy import save

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*"abcdefghijklmnopqrstuvwxyz", "why", "."]


def question(key, context, *answers):
    texts, places = zip(*answers, strict=True) if answers else ((), ())
    found = {"text": list(texts), "answer_start": list(places)}
    return {"id": key, "question": "why", "context": context, "answers": found}


@pytest.fixture
def windows_of(hub):
    """Tokenise these questions in windows, [CLS] why [SEP] and 4 words of the context [SEP]."""
    settings = json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    model = {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": save({"w": np.zeros(2, np.float32)}),
        "tokenizer_config.json": settings.encode(),
        "vocab.txt": "\n".join(SPECIAL + WORDS).encode(),
    }
    hub.add("models", "org/words", model)

    def tokenize(*rows, length=8, stride=2, **keywords):
        from datasets import Dataset, Features, List, Value

        features = Features(
            {name: Value("string") for name in ("id", "question", "context")}
            | {"answers": {"text": List(Value("string")), "answer_start": List(Value("int32"))}}
        )
        content = io.BytesIO()
        Dataset.from_list(list(rows), features).to_parquet(content)
        hub.add("datasets", "org/questions", {"train-00000.parquet": content.getvalue()})
        return tokenize_questions("org/questions", "org/words", "train", length, stride, **keywords)

    return tokenize


def found(window):
    """The words of a window's answer."""
    ids = window["input_ids"][window["start"] : window["end"] + 1]
    return " ".join((SPECIAL + WORDS)[token] for token in ids)


def test_windows_overlap_and_hold_the_answer_or_point_to_cls(windows_of):
    _, windows = windows_of(question("1", "a b c d e f g h", ("d e", 6)))
    assert [window["input_ids"][3:7] for window in windows] == [
        [5, 6, 7, 8],
        [7, 8, 9, 10],
        [9, 10, 11, 12],
    ]
    assert [found(window) for window in windows] == ["[CLS]", "d e", "[CLS]"]
    assert windows[0]["token_type_ids"] == [0, 0, 0, 1, 1, 1, 1, 1]
    assert windows[1]["offset_mapping"][3] == [4, 5]
    assert windows["row"][:] == [0, 0, 0]


def test_an_answer_longer_than_the_overlap_is_in_the_windows_that_hold_all_of_it(windows_of):
    _, windows = windows_of(question("1", "a b c d e f", ("b c d e", 2)))
    assert [found(window) for window in windows] == ["[CLS]", "[CLS]"]


def test_an_answer_that_occurs_twice_is_the_one_at_its_place(windows_of):
    _, windows = windows_of(question("1", "b a b .", ("b", 4), ("b", 0)))
    assert [(window["start"], window["end"]) for window in windows] == [(5, 5)]


def test_the_tokens_of_an_answer_hold_its_characters(windows_of):
    _, windows = windows_of(
        question("inside", "a (b)", ("b", 3)),
        question("blanks", "a  b c", (" b ", 2)),
        question("part of a token", "a why b", ("h", 3)),
    )
    assert [found(window) for window in windows] == ["b", "b", "why"]


def test_without_context_or_answer_a_window_points_to_cls(windows_of):
    questions, windows = windows_of(question("1", "", ("", 0)), question("2", "a"))
    assert questions["id"][:] == ["1", "2"]
    assert [found(window) for window in windows] == ["[CLS]", "[CLS]"]
    assert windows[0]["attention_mask"] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_each_window_knows_its_question_among_thousands(windows_of):
    rows = [question(str(n), " ".join("abcdefgh"[: n % 8 + 1]), ("a", 0)) for n in range(2001)]
    questions, windows = windows_of(*rows)
    assert np.bincount(windows["row"][:]).tolist() == [max(1, n % 8 // 2) for n in range(2001)]
    assert [windows[n]["start"] for n in (0, len(windows) - 1)] == [3, 3]
    few, of_few = windows_of(*rows, first=7)
    assert few["id"][:] == questions["id"][:7]
    assert of_few["row"][:] == windows["row"][: len(of_few)]
    assert of_few["row"][-1] == 6


def test_an_answer_elsewhere_is_refused(windows_of):
    with pytest.raises(AssetError, match=r"org/questions: question 7.*'b'.*1"):
        windows_of(question("7", "a b", ("b", 1)))


@pytest.mark.parametrize(("length", "stride"), [(3, 0), (6, 2)])
def test_windows_without_room_for_a_context_are_refused(windows_of, length, stride):
    with pytest.raises(UsageError, match=f"{length} tokens"):
        windows_of(question("1", "a b c d e f", ("a", 0)), length=length, stride=stride)
