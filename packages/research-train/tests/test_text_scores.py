"""Exact match and F1 are those of SQuAD's definitions."""

import pytest
from research_train import MetricError, answer_scores


def scores(answer, *references):
    found = answer_scores({"q": answer}, {"q": references})
    return found["test/exact_match"], found["test/f1"]


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("Denver Broncos", "denver BRONCOS"),  # lower case
        ("ÉTÉ", "été"),
        ("U.S.", "us"),  # punctuation is dropped, not made a space
        ("twenty-one", "twentyone"),
        ("'$5,000!'", "5000"),
        ("the_end", "theend"),
        ("the Denver Broncos", "Denver Broncos"),  # articles are dropped, as words only
        ("a cat and an owl", "cat and owl"),
        ("The The", "a"),
        ("T.h.e cat", "cat"),  # punctuation goes before articles do
        ("  Denver\t\n Broncos ", "Denver Broncos"),  # white space
        ("Denver\u00a0Broncos", "Denver Broncos"),
        ("Denver the Broncos", "Denver Broncos"),  # no space is left of an article
    ],
)
def test_texts_that_differ_only_by_a_rule_match(answer, reference):
    assert scores(answer, reference)[0] == 1


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("Denver Broncos", "DenverBroncos"),
        ("theatre", "atre"),  # an article within a word
        ("another", "other"),
        ("twenty\u2013one", "twentyone"),  # only the punctuation of ASCII
        ("“Broncos”", "Broncos"),
        ("cafe", "café"),
        ("twenty-one", "twenty one"),
    ],
)
def test_other_texts_do_not(answer, reference):
    assert scores(answer, reference)[0] == 0


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("Denver Broncos", "the Denver Broncos!", 1),
        ("Denver", "Denver Broncos", 2 / 3),  # precision 1, recall 1/2
        ("x x x y", "x x z", 4 / 7),  # a repeated word counts as often as in both
        ("y x", "x y", 1),  # in any order
        ("Carolina", "Denver", 0),
        ("", "Denver", 0),
        ("the", "a", 0),  # by the script of SQuAD 1.1, though they match
    ],
)
def test_f1_is_over_the_words_in_common(answer, reference, f1):
    assert scores(answer, reference)[1] == pytest.approx(f1)


def test_the_best_reference_counts_for_each_score_and_a_missing_answer_as_0():
    assert scores("a b c", "b", "b c d", "x") == (0, pytest.approx(4 / 5))
    found = answer_scores({"1": "x", "3": "of no question"}, {"1": ["x"], "2": ["y"]}, "dev")
    assert found == {"dev/exact_match": 0.5, "dev/f1": 0.5}


@pytest.mark.parametrize("references", [{}, {"q": []}])
def test_without_a_question_or_a_reference_there_is_no_score(references):
    with pytest.raises(MetricError):
        answer_scores({"q": "x"}, references)
